// The loss curve of a job as the two files of its result: every step as JSON, and a picture of it. Pure text.
import type { StepRecord } from '../port.ts';

export interface LossCurve {
  readonly job: string;
  readonly adapter: string;
  readonly steps: readonly StepRecord[];
}

export function lossCurveJson(curve: LossCurve): string {
  return `${JSON.stringify(curve, null, 1)}\n`;
}

const WIDTH = 800;
const HEIGHT = 400;
const MARGIN = { left: 64, right: 24, top: 56, bottom: 48 };
const TICKS = 5;
const TRAIN_COLOUR = '#1b6ca8';
const VALID_COLOUR = '#c46a1b';

type Point = readonly [step: number, loss: number];

/** Training loss as a thin line with its moving mean, validation loss as marked points. */
export function lossCurveSvg({ job, adapter, steps }: LossCurve): string {
  const train = steps.map(({ step, train_loss: loss }): Point => [step, loss]);
  const valid = steps.flatMap(({ step, valid_loss: loss }): Point[] => (loss === undefined ? [] : [[step, loss]]));
  const scale = scaleOf([...train, ...valid]);
  const marks = valid.map(
    ([step, loss]) =>
      `<circle cx="${scale.x(step)}" cy="${scale.y(loss)}" r="3.5" fill="${VALID_COLOUR}"><title>step ${step}: ${loss}</title></circle>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(MARGIN.left, 24, `${adapter}: loss (nats a token)`, 'start', 16),
    text(MARGIN.left, 42, `job ${job} · line: training, moving mean · points: validation`, 'start', 11),
    ...axes(scale),
    line(train, scale, `stroke="${TRAIN_COLOUR}" stroke-opacity="0.3"`),
    line(movingMean(train), scale, `stroke="${TRAIN_COLOUR}" stroke-width="2"`),
    line(valid, scale, `stroke="${VALID_COLOUR}" stroke-dasharray="4 3"`),
    ...marks,
    '</svg>\n',
  ].join('\n');
}

interface Scale {
  readonly x: (step: number) => string;
  readonly y: (loss: number) => string;
  readonly steps: readonly [number, number];
  readonly losses: readonly [number, number];
}

function scaleOf(points: readonly Point[]): Scale {
  const steps = range(points.map(([step]) => step));
  const losses = range(points.map(([, loss]) => loss));
  const [plotWidth, plotHeight] = [WIDTH - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
  return {
    steps,
    losses,
    x: (step) => (MARGIN.left + ((step - steps[0]) / (steps[1] - steps[0])) * plotWidth).toFixed(1),
    y: (loss) => (HEIGHT - MARGIN.bottom - ((loss - losses[0]) / (losses[1] - losses[0])) * plotHeight).toFixed(1),
  };
}

/** Smallest and largest finite value, apart from each other. */
function range(values: readonly number[]): readonly [number, number] {
  const finite = values.filter((value) => Number.isFinite(value));
  const smallest = finite.reduce((least, value) => Math.min(least, value), finite[0] ?? 0);
  const largest = finite.reduce((most, value) => Math.max(most, value), smallest);
  return largest > smallest ? [smallest, largest] : [smallest - 0.5, smallest + 0.5];
}

function axes(scale: Scale): readonly string[] {
  const at = ([low, high]: readonly [number, number], index: number): number => low + ((high - low) * index) / (TICKS - 1);
  return Array.from({ length: TICKS }, (_, index) => {
    const [loss, step] = [at(scale.losses, index), at(scale.steps, index)];
    return [
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${scale.y(loss)}" y2="${scale.y(loss)}" stroke="#ddd"/>`,
      text(MARGIN.left - 8, Number(scale.y(loss)) + 4, loss.toFixed(2), 'end', 11),
      text(Number(scale.x(step)), HEIGHT - MARGIN.bottom + 18, step.toFixed(0), 'middle', 11),
    ].join('');
  });
}

function line(points: readonly Point[], scale: Scale, stroke: string): string {
  const drawn = points.filter(([, loss]) => Number.isFinite(loss)).map(([step, loss]) => `${scale.x(step)},${scale.y(loss)}`);
  return `<polyline points="${drawn.join(' ')}" fill="none" ${stroke}/>`;
}

/** Over a twentieth of the steps, at least 5, looking back. */
export function movingMean(points: readonly Point[]): readonly Point[] {
  const window = Math.max(5, Math.ceil(points.length / 20));
  return points.map(([step], index): Point => {
    const seen = points.slice(Math.max(0, index + 1 - window), index + 1);
    return [step, seen.reduce((sum, [, loss]) => sum + loss, 0) / seen.length];
  });
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', size: number): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}
