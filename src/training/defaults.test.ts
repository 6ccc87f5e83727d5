import { describe, expect, it } from 'vitest';
import { DEFAULT_LEARNING_RATE, resolveHyperparameters } from './defaults.ts';

describe('hyperparameters that a request leaves out', () => {
  it('take the defaults, and what is given stays', () => {
    const resolved = resolveHyperparameters({ batchSize: 2, lora: { r: 4, targetModules: ['k_proj'] } }, 7, 8192);
    expect(resolved).toMatchObject({
      batchSize: 2,
      seed: 7,
      gradientAccumulation: 1,
      learningRate: DEFAULT_LEARNING_RATE,
      publish: 'last',
    });
    expect(resolved.lora).toMatchObject({ r: 4, alpha: 8, targetModules: ['k_proj'], init: 'default', useRslora: false });
  });

  it("scale the default learning rate by OpenAI's multiplier, and prefer a rate", () => {
    expect(resolveHyperparameters({ learningRateMultiplier: 0.5 }, 0, 99).learningRate).toBe(DEFAULT_LEARNING_RATE / 2);
    expect(resolveHyperparameters({ learningRateMultiplier: 0.5, learningRate: 3 }, 0, 99).learningRate).toBe(3);
  });

  it('never ask for rows that are longer than the context', () => {
    expect(resolveHyperparameters({}, 0, 256).maxSeqLength).toBe(256);
  });

  it('suit the init', () => {
    expect(resolveHyperparameters({ lora: { init: 'lora_ga' } }, 0, 99).lora).toMatchObject({ useRslora: true, alpha: 16 });
    expect(resolveHyperparameters({ lora: { init: 'lora_ga', useRslora: false } }, 0, 99).lora.useRslora).toBe(false);
    expect(resolveHyperparameters({ lora: { init: 'pissa', r: 4 } }, 0, 99).lora.alpha).toBe(4);
  });

  it('publish the best step when the job may stop early', () => {
    expect(resolveHyperparameters({ earlyStoppingPatience: 2 }, 0, 99).publish).toBe('best');
    expect(resolveHyperparameters({ earlyStoppingPatience: 2, publish: 'last' }, 0, 99).publish).toBe('last');
  });
});
