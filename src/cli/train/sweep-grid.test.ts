import { describe, expect, it } from 'vitest';
import { loraOf, pointName, sweepPoints } from './sweep-grid.ts';

/** Sizes of the default base (SmolLM2-135M): inputs plus outputs of each matrix. */
const SIDES: Readonly<Record<string, number>> = {
  q_proj: 576 + 576,
  k_proj: 576 + 192,
  v_proj: 576 + 192,
  o_proj: 576 + 576,
  gate_proj: 576 + 1536,
  up_proj: 576 + 1536,
  down_proj: 1536 + 576,
};

describe('the grid of a sweep', () => {
  it('is the product of its lists', () => {
    const points = sweepPoints({ ranks: '1,2', targets: 'q_proj;q_proj,v_proj', methods: 'lora,dora', ratios: '1,16' });
    expect(points).toHaveLength(16);
    expect(new Set(points.map(pointName)).size).toBe(16);
    expect(points[0]).toEqual({ method: 'lora', rank: 1, targets: 'q_proj', ratio: 1 });
  });

  it('has the studies of the LoRA paper', () => {
    expect(sweepPoints({ study: 'ranks' }).map(({ rank }) => rank)).toEqual([1, 2, 4, 8, 64]);
    expect(sweepPoints({ study: 'methods' }).map(({ method }) => method)).toEqual(['lora', 'rslora', 'dora', 'lora+', 'pissa', 'lora-ga']);
  });

  it('compares matrices at equal numbers of parameters', () => {
    const counts = sweepPoints({ study: 'matrices' }).map(({ targets, rank }) => {
      const names = targets === 'all-linear' ? Object.keys(SIDES) : targets.split(',');
      return rank * names.reduce((sum, name) => sum + (SIDES[name] ?? NaN), 0);
    });
    expect(counts).toHaveLength(5);
    for (const count of counts) expect(Math.abs(count / 30_720 - 1)).toBeLessThan(0.02);
  });

  it('says each method in the words of the API', () => {
    const point = { rank: 4, targets: 'q_proj,v_proj', ratio: null } as const;
    expect(loraOf({ ...point, method: 'lora' })).toEqual({ r: 4, target_modules: ['q_proj', 'v_proj'] });
    expect(loraOf({ ...point, method: 'lora+' })).toMatchObject({ loraplus_lr_ratio: 16 });
    expect(loraOf({ ...point, method: 'lora+', ratio: 4 })).toMatchObject({ loraplus_lr_ratio: 4 });
    expect(loraOf({ ...point, method: 'lora-ga', targets: 'all-linear' })).toMatchObject({ init: 'lora_ga', target_modules: 'all-linear' });
    expect(loraOf({ ...point, method: 'rslora' })).toMatchObject({ use_rslora: true });
  });

  it.each([
    [{ ranks: '0' }, '--ranks "0"'],
    [{ ranks: 'many' }, '--ranks "many"'],
    [{ methods: 'lora,ia3' }, '--methods "ia3"'],
    [{ targets: 'q_proj;' }, '--targets ""'],
    [{ targets: 'q_proj@x' }, '--targets "x"'],
    [{ ratios: '-1' }, '--ratios "-1"'],
  ])('refuses %j', (options, message) => {
    expect(() => sweepPoints(options)).toThrow(message);
  });
});
