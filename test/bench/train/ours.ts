// Our side: the trainer's computation and its AdamW.
import type { TrainedParameter } from '../../../src/training/trainer/ports.ts';
import { createTrainingComputation } from '../../../src/training/trainer/computation/index.ts';
import { adamwStep } from '../../../src/training/trainer/optimizer/adamw.ts';
import { serveChild } from '../sides/serve-child.ts';
import { openSubject } from '../subject.ts';
import { type TrainAnswer, type TrainOptions, type TrainQuestion, UNSUPERVISED } from './protocol.ts';

const LEARNING_RATE = 1e-4;

await serveChild<TrainOptions, TrainQuestion, TrainAnswer>(async ({ modelFolder, threadCount }) => {
  const model = await openSubject();
  const { sites } = model.description;
  await model.close();
  return async ({ sites: which, rank, batches, warmUp }) => {
    const chosen = sites.filter(({ id, kind }) => (which === 'qv' ? /\.(q|v)$/.test(id) : kind === 'linear'));
    const computation = await createTrainingComputation({
      modelFolder,
      sites: chosen.map(({ id }) => ({ site: id, rank, scale: 1, dora: false, origin: null })),
      basePrecision: 'fp32',
      threadCount,
      memoryBudgetBytes: Number.MAX_SAFE_INTEGER,
    });
    const trained = computation.parameters.map((parameter, index) => start(parameter, index));
    const milliseconds: number[] = [];
    const losses: number[] = [];
    for (const [step, rows] of batches.entries()) {
      const examples = rows.map(({ tokenIds, labels }) => ({
        tokenIds: Int32Array.from(tokenIds),
        supervised: Uint8Array.from(labels, (label) => (label === UNSUPERVISED ? 0 : 1)),
      }));
      const supervised = examples.reduce(
        (sum, example) => sum + example.supervised.subarray(1).reduce((count, flag) => count + flag, 0),
        0,
      );
      const startedMs = performance.now();
      computation.zeroGradients();
      const { loss } = computation.accumulate(examples, 1 / supervised, null);
      for (const parameter of trained)
        adamwStep(parameter, { step: step + 1, learningRate: LEARNING_RATE, weightDecay: 0, gradientScale: 1 });
      if (step >= warmUp) milliseconds.push(performance.now() - startedMs);
      losses.push(loss / supervised);
    }
    computation.close();
    return { milliseconds, losses, peakBytes: process.resourceUsage().maxRSS * 1024 };
  };
});

/** A uniform as PEFT's, from a fixed sequence; B zero. */
function start(parameter: TrainedParameter, index: number) {
  const { values, gradient, part, shape } = parameter;
  const bound = 1 / Math.sqrt(shape[1] ?? 1);
  if (part === 'A') for (let place = 0; place < values.length; place++) values[place] = bound * Math.sin(place * 12.9898 + index * 78.233);
  return { values, gradient, moment1: new Float32Array(values.length), moment2: new Float32Array(values.length) };
}
