// The result of a sweep as one SVG picture: a panel a measure, a bar a point of the grid. Pure text.

export interface SweepRow {
  readonly name: string;
  readonly trainableParameters: number;
  readonly finalTrainLoss: number;
  /** Nats a token on the validation file. */
  readonly nll: number | null;
  readonly bleu: number | null;
  readonly seconds: number;
}

type Measure = readonly [title: string, read: (row: SweepRow) => number | null, digits: number];

const MEASURES: readonly Measure[] = [
  ['final training loss (nats a token)', (row) => row.finalTrainLoss, 3],
  ['validation NLL (nats a token)', (row) => row.nll, 3],
  ['BLEU of the test rows', (row) => row.bleu, 1],
  ['trained parameters', (row) => row.trainableParameters, 0],
  ['seconds', (row) => row.seconds, 0],
];

const WIDTH = 900;
const LABEL_WIDTH = 260;
const VALUE_WIDTH = 80;
const BAR_STEP = 20;
const PANEL_GAP = 40;
const TOP = 50;

export function sweepChart(title: string, rows: readonly SweepRow[]): string {
  const panelHeight = rows.length * BAR_STEP + PANEL_GAP;
  const panels = MEASURES.filter(([, read]) => rows.some((row) => read(row) !== null));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${TOP + panels.length * panelHeight}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(20, 28, title, 'start', 18),
    ...panels.flatMap((measure, index) => panel(measure, rows, TOP + index * panelHeight)),
    '</svg>\n',
  ].join('\n');
}

function panel([title, read, digits]: Measure, rows: readonly SweepRow[], top: number): readonly string[] {
  const largest = rows.reduce((most, row) => Math.max(most, read(row) ?? 0), 0) || 1;
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest;
  const bars = rows.flatMap((row, index) => {
    const y = top + 24 + index * BAR_STEP;
    const value = read(row);
    return [
      text(LABEL_WIDTH - 8, y + 12, row.name, 'end', 12),
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${((value ?? 0) * scale).toFixed(1)}" height="14" fill="#1b6ca8"/>`,
      text(LABEL_WIDTH + (value ?? 0) * scale + 6, y + 12, value === null ? '–' : value.toFixed(digits), 'start', 12),
    ];
  });
  return [text(20, top + 14, title, 'start', 14), ...bars];
}

function text(x: number, y: number, content: string, anchor: 'start' | 'end', size: number): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}
