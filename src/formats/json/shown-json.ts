// How a hostile JSON value appears in a message: its JSON spelling, cut.
import { isJsonArray, isJsonObject, type JsonValue } from './strict-json.ts';

const SHOWN_CHARACTERS = 60;

/** JSON spelling of a value, cut to about 60 characters; the rest of a long value is not even spelled out. */
export function shownJson(value: JsonValue): string {
  const spelled = spell(value, SHOWN_CHARACTERS);
  return spelled.length <= SHOWN_CHARACTERS ? spelled : `${spelled.slice(0, SHOWN_CHARACTERS)}…`;
}

/** At least the first `budget` characters of the spelling. */
function spell(value: JsonValue, budget: number): string {
  if (isJsonArray(value)) return `[${spellAll(value, budget, (item, left) => spell(item, left))}]`;
  if (isJsonObject(value)) return `{${spellAll(value, budget, ([key, member], left) => `${spell(key, left)}: ${spell(member, left)}`)}}`;
  return JSON.stringify(typeof value === 'string' ? value.slice(0, budget + 1) : value);
}

function spellAll<Item>(items: Iterable<Item>, budget: number, spellOne: (item: Item, left: number) => string): string {
  let spelled = '';
  for (const item of items) {
    if (spelled.length > budget) break;
    spelled += (spelled === '' ? '' : ', ') + spellOne(item, budget - spelled.length);
  }
  return spelled;
}
