// A loss curve as lines of text: Braille dots, two across and four down a character. Pure.

export interface GraphSize {
  /** Characters, with the labels on the left. */
  readonly columns: number;
  readonly rows: number;
}

type Point = readonly [step: number, loss: number];

const LABEL_WIDTH = 8;
const BRAILLE = 0x2800;
/** Bits of the dots of a character, by row and column (Unicode, Braille patterns). */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/** Loss upwards, steps to the right up to `lastStep`. Empty without a point. */
export function lossGraph(points: readonly Point[], lastStep: number, size: GraphSize): string[] {
  const finite = points.filter(([, loss]) => Number.isFinite(loss));
  if (finite.length === 0) return [];
  const [width, height] = [Math.max(2, size.columns - LABEL_WIDTH) * 2, size.rows * 4];
  const losses = finite.map(([, loss]) => loss);
  const top = losses.reduce((most, loss) => Math.max(most, loss));
  const bottom = losses.reduce((least, loss) => Math.min(least, loss));
  const dots = new Set<number>();
  let before: readonly [x: number, y: number] | null = null;
  for (const [step, loss] of finite) {
    const x = Math.round(((step - 1) / Math.max(1, lastStep - 1)) * (width - 1));
    const y = Math.round(top === bottom ? height / 2 : ((top - loss) / (top - bottom)) * (height - 1));
    for (const [lineX, lineY] of lineBetween(before ?? [x, y], [x, y])) dots.add(lineY * width + lineX);
    before = [x, y];
  }
  return Array.from({ length: size.rows }, (_, row) => labelOf(row, size.rows, top, bottom) + charactersOf(dots, row, width));
}

function labelOf(row: number, rows: number, top: number, bottom: number): string {
  const ends = new Map([
    [rows - 1, bottom.toFixed(3)],
    [0, top.toFixed(3)],
  ]);
  return `${(ends.get(row) ?? '').padStart(LABEL_WIDTH - 2)} \u2502`;
}

function charactersOf(dots: ReadonlySet<number>, row: number, width: number): string {
  let text = '';
  for (let column = 0; column < width / 2; column += 1) {
    let bits = 0;
    DOTS.forEach((line, y) => {
      line.forEach((bit, x) => {
        if (dots.has((row * 4 + y) * width + column * 2 + x)) bits |= bit;
      });
    });
    text += bits === 0 ? ' ' : String.fromCodePoint(BRAILLE + bits);
  }
  return text.trimEnd();
}

/** Dots from one place to another, both included. */
function* lineBetween(from: readonly [number, number], to: readonly [number, number]): Generator<readonly [number, number]> {
  const count = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
  for (let part = 0; part <= count; part += 1) {
    yield [Math.round(from[0] + ((to[0] - from[0]) * part) / count), Math.round(from[1] + ((to[1] - from[1]) * part) / count)];
  }
}
