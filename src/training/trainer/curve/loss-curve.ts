// A job's losses over its steps as one SVG picture. Pure text, the same for the same curve.
import type { StepMetrics } from '../../messages.ts';

const WIDTH = 760;
const HEIGHT = 400;
const MARGIN = { left: 64, right: 24, top: 56, bottom: 48 };
const COLOURS = { train: '#9ecae1', mean: '#08519c', valid: '#d94801' };
/** Steps that a point of the smoothed curve stands for, as a share of all. */
const SMOOTHED_SHARE = 0.05;

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Training loss of every step, its running mean, and the loss on the validation file where there is one. */
export function lossCurve(curve: readonly StepMetrics[]): string {
  const train = curve.map(({ step, trainLoss }) => ({ x: step, y: trainLoss }));
  const valid = curve.flatMap(({ step, validLoss }) => (validLoss === undefined ? [] : [{ x: step, y: validLoss }]));
  const place = placement(train, valid);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(MARGIN.left, 24, 'Loss in nats a supervised token', 16),
    legend(valid.length > 0),
    ...axes(place),
    line(train, place, COLOURS.train, 1),
    line(runningMean(train), place, COLOURS.mean, 2),
    ...(valid.length === 0 ? [] : [line(valid, place, COLOURS.valid, 2), ...valid.map((point) => dot(point, place))]),
    '</svg>\n',
  ].join('\n');
}

interface Placement {
  readonly lastStep: number;
  readonly low: number;
  readonly high: number;
  readonly tick: number;
  readonly at: (point: Point) => Point;
}

/** Ends of the vertical axis lie on its ticks. */
function placement(train: readonly Point[], valid: readonly Point[]): Placement {
  const values = [...train, ...valid].map(({ y }) => y);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const tick = niceStep((most - least) / 5);
  const low = Math.floor(least / tick) * tick;
  const high = Math.max(Math.ceil(most / tick) * tick, low + tick);
  const lastStep = Math.max(2, train.at(-1)?.x ?? 2);
  return {
    lastStep,
    low,
    high,
    tick,
    at: ({ x, y }) => ({
      x: MARGIN.left + ((x - 1) / (lastStep - 1)) * (WIDTH - MARGIN.left - MARGIN.right),
      y: MARGIN.top + ((high - y) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom),
    }),
  };
}

function axes({ lastStep, low, high, tick, at }: Placement): readonly string[] {
  const drawn: string[] = [];
  const decimals = Math.max(0, Math.ceil(-Math.log10(tick)));
  for (let index = 0; low + index * tick <= high + tick / 2; index += 1) {
    const y = low + index * tick;
    const from = at({ x: 1, y });
    drawn.push(`<path d="M${round(from.x)} ${round(from.y)}H${WIDTH - MARGIN.right}" stroke="#ddd"/>`);
    drawn.push(text(from.x - 8, from.y + 4, y.toFixed(decimals), 11, 'end'));
  }
  const every = Math.max(1, niceStep(lastStep / 8));
  for (let step = 0; step <= lastStep; step += every) {
    const x = Math.max(1, step);
    drawn.push(text(at({ x, y: low }).x, HEIGHT - MARGIN.bottom + 18, String(x), 11, 'middle'));
  }
  drawn.push(text(WIDTH / 2, HEIGHT - 10, 'step', 12, 'middle'));
  return drawn;
}

function legend(hasValidation: boolean): string {
  const entries = [
    ['training, each step', COLOURS.train],
    ['training, running mean', COLOURS.mean],
    ...(hasValidation ? [['validation', COLOURS.valid]] : []),
  ] as const;
  return entries
    .map(([name = '', colour = ''], index) => {
      const x = MARGIN.left + index * 190;
      return `<path d="M${x} 40h22" stroke="${colour}" stroke-width="3"/>\n${text(x + 28, 44, name, 12)}`;
    })
    .join('\n');
}

function line(points: readonly Point[], { at }: Placement, colour: string, width: number): string {
  const path = points.map((point, index) => {
    const { x, y } = at(point);
    return `${index === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`;
  });
  return `<path d="${path.join('')}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"/>`;
}

function dot(point: Point, { at }: Placement): string {
  const { x, y } = at(point);
  return `<circle cx="${round(x)}" cy="${round(y)}" r="3" fill="${COLOURS.valid}"><title>step ${point.x}: ${point.y.toFixed(4)}</title></circle>`;
}

/** Of the steps around each. */
function runningMean(points: readonly Point[]): readonly Point[] {
  const reach = Math.floor((points.length * SMOOTHED_SHARE) / 2);
  return points.map(({ x }, index) => {
    const around = points.slice(Math.max(0, index - reach), index + reach + 1);
    return { x, y: around.reduce((sum, { y }) => sum + y, 0) / around.length };
  });
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-6)));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function text(x: number, y: number, content: string, size: number, anchor = 'start'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}">${content}</text>`;
}

function round(value: number): string {
  return value.toFixed(1);
}
