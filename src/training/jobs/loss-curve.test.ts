import { describe, expect, it } from 'vitest';
import { lossCurveJson, lossCurveSvg, movingMean } from './loss-curve.ts';

const step = (number: number, loss: number, valid?: number) => ({
  step: number,
  train_loss: loss,
  learning_rate: 1e-3,
  grad_norm: 1,
  tokens_per_second: 100,
  ...(valid !== undefined && { valid_loss: valid }),
});
const CURVE = { job: 'ftjob-1', adapter: 'a<b', steps: [step(1, 3), step(2, 2, 2.5), step(3, 1)] };

describe('the loss curve of a job', () => {
  it('keeps every step as JSON', () => {
    expect(JSON.parse(lossCurveJson(CURVE))).toEqual(CURVE);
  });

  it('is drawn from the upper left to the lower right, with a mark at each validation', () => {
    const svg = lossCurveSvg(CURVE);
    expect(svg).toContain('points="64.0,56.0 420.0,204.0 776.0,352.0"');
    expect(svg.match(/<circle cx="420.0" cy="130.0"/g)).toHaveLength(1);
    expect(svg).toContain('a&lt;b: loss');
  });

  it('can be drawn of one step, of none, and of losses that are all the same', () => {
    for (const steps of [[], [step(1, 2)], [step(1, 2), step(2, 2)]]) expect(lossCurveSvg({ ...CURVE, steps })).not.toContain('NaN');
  });

  it('smooths over at least five steps, looking back', () => {
    const means = movingMean(Array.from({ length: 7 }, (_, index) => [index + 1, index] as const));
    expect(means.map(([, mean]) => mean)).toEqual([0, 0.5, 1, 1.5, 2, 3, 4]);
  });
});
