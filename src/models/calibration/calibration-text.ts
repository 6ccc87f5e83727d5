// What the base model reads to be calibrated: about 1,500 tokens of many kinds, written for this purpose. Holds nothing of the text that
// accuracy is measured on. Changing it changes what is measured: raise CALIBRATION_VERSION with it.
import type { ChatMessage } from '../../text/index.ts';

/** A conversation for the model's own chat template. */
export const CALIBRATION_CHAT: readonly ChatMessage[] = [
  { role: 'user', content: 'My bread does not rise. What could be wrong?' },
  {
    role: 'assistant',
    content:
      'A few things are worth checking:\n\n1. **The yeast may be dead.** Stir a teaspoon into warm water with a pinch of sugar; it should foam within ten minutes.\n2. **The water was too hot.** Above 55 °C the yeast dies.\n3. **The room is cold.** Dough at 17 °C needs about twice as long as dough at 24 °C.\n\nWhich of these sounds likely?',
  },
  { role: 'user', content: 'Probably the room... Can I put it into the oven with only the lamp on?' },
  {
    role: 'assistant',
    content:
      'Yes, that works well. The lamp alone brings most ovens to between 25 and 30 °C. Cover the bowl with a damp cloth so that no skin forms, and look after 45 minutes.',
  },
  { role: 'user', content: 'thx!! One more: translate "the dough is resting" into Italian, and count the letters of the result.' },
  { role: 'assistant', content: '"L\'impasto sta riposando" has 21 letters, not counting the apostrophe and the spaces.' },
];

export const CALIBRATION_PASSAGES: readonly string[] = [
  `The ferry left at a quarter past six, half an hour late, and nobody on the quay seemed to mind. Marta stood at the rail with her collar up and watched the warehouses slide away. She had lived in that town for eleven years, had known every crooked street of it, and now that she was leaving she could not have said what colour the customs house was painted.

"You'll be cold out here," said a voice behind her. It belonged to an old man in a knitted cap, who held two paper cups of tea as if he had been expecting company.

"I'm used to it."

"Everyone says so." He gave her one of the cups. "My brother said the same thing in 1962, and he has complained about his knees ever since."

She laughed in spite of herself. Beyond the breakwater the swell began, long and slow, and the deck rose under their feet like the chest of a sleeping animal. Somewhere below, a child asked again and again whether there were whales here. There were none, of course; there had not been a whale in this strait for a century. But the question, repeated with such patience, made the grey water look deeper than it was, and for a while the two of them searched it in silence.`,

  `import { createServer } from 'node:http';

/** Counts visits per path and answers with the total. */
const visits = new Map<string, number>();

createServer((request, response) => {
  const path = request.url ?? '/';
  const count = (visits.get(path) ?? 0) + 1;
  visits.set(path, count);
  if (count > 1_000) response.statusCode = 429;
  response.end(JSON.stringify({ path, count, at: new Date().toISOString() }));
}).listen(3000);

def moving_average(values: list[float], width: int) -> list[float]:
    """Mean of each window of \`width\` neighbouring values."""
    if not 0 < width <= len(values):
        raise ValueError(f"width must be between 1 and {len(values)}, got {width}")
    total = sum(values[:width])
    means = [total / width]
    for old, new in zip(values, values[width:]):
        total += new - old
        means.append(total / width)
    return means

SELECT c.name, COUNT(*) AS orders, ROUND(SUM(o.total), 2) AS revenue
FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
WHERE o.created_at >= '2023-04-01' GROUP BY c.name HAVING COUNT(*) > 3 ORDER BY revenue DESC LIMIT 20;

#include <stdio.h>
int main(void) { for (int i = 0; i < 10; i++) printf("%d\\t%#x\\n", i, 1u << i); return 0; }
$ git log --oneline -3 && tar -xzf build.tar.gz -C /tmp/out 2>&1 | tee install.log`,

  `Shopping list for Saturday:
- 2 kg potatoes, 500 g carrots, 3 onions
- 1 bottle of olive oil (0.75 l)
- eggs x 12; butter; rye flour
- batteries, AA

| Station | Opened | Height (m) | Rain (mm) | Mean (°C) |
|---------|--------|------------|-----------|-----------|
| Aldbrook | 1911 | 84 | 612.4 | 9.8 |
| Cairn Fell | 1954 | 871 | 2,305.0 | 3.1 |
| Port Eynon | 2003 | 6 | 940.7 | 11.2 |

Results: 3 wins, 1 draw, 2 losses (14:9). Probability p = 0.0313; chi-squared = 11.07, df = 5. 17 * 23 = 391, 391 / 4 = 97.75, sqrt(2) = 1.41421356, 6.022e23, -40 F = -40 C.

From: bookings@example.org
Subject: Re: Invoice no. 2024-00817
Dear Ms Okafor, thank you for your order of 14 March. The amount of EUR 1,249.50 (incl. 19% VAT) is due within 30 days. IBAN: XX12 3456 7890 1234. See https://example.org/orders/817?lang=en#payment or call +44 20 7946 0991.

{"id": 4711, "tags": ["new", "sale"], "price": {"amount": 19.99, "currency": "USD"}, "stock": null, "active": true}
<p class="note">Opening hours: Mon&ndash;Fri 9:00 to 17:30</p>`,

  `Le petit train s'arrêta au milieu des champs, et personne ne sut pourquoi. Une vache le regardait.
Der Bäcker öffnet sonntags erst um acht, weil seine Tochter dann Fußball spielt und er zusehen möchte.
La biblioteca cerró a las nueve; los estudiantes siguieron hablando en la plaza hasta la medianoche.
O vento levou o chapéu do professor, que correu atrás dele rindo como uma criança.
Het regende al drie dagen en de kelder stond blank, maar de soep smaakte uitstekend.
Po deszczu w lesie pachniało grzybami i mokrym drewnem. Zima přišla letos brzy.
Утром на рынке продавали яблоки, мёд и свежую рыбу, а вечером там играл оркестр.
春天来了，河边的柳树发出了新芽，孩子们在桥上放风筝。 雨が止んだので、祖父は庭に出て朝顔に水をやった。
한국의 가을 하늘은 높고 푸르다. في الصباح شربنا الشاي بالنعناع على سطح البيت. सुबह की ट्रेन समय पर थी।`,

  `How a canal lock works. A lock is a chamber with a gate at either end, and it lets a boat pass between two stretches of water that lie at different heights. Suppose that the boat wants to go up. The lower gate is open, and the water in the chamber stands as low as the water outside. The boat enters, and the gate closes behind it. Then a small sluice in the upper gate is raised, so that water runs in from above; nobody pumps anything, because gravity does the work. When both sides of the upper gate stand at the same level, the pressure on it is equal and it can be swung open by hand. Going down, the same steps are taken in reverse order.

Each passage costs the upper stretch one chamber of water, roughly 200,000 litres for a narrow lock. That is why canals need reservoirs near their summits, and why boats are asked to share a lock whenever they can. QUESTION: Why are the gates shaped like a V that points upstream? ANSWER: Because the weight of the water then presses the two leaves together and seals them; the higher the water, the tighter the seal.`,
];
