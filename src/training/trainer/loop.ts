// The training loop: gradients of a step's micro-batches, clip, AdamW, evaluate, report. Knows no graph, no file and no message.
import { AppError, type Clock } from '../../core/index.ts';
import type { Hyperparameters } from '../hyperparameters.ts';
import type { StepMetrics } from '../messages.ts';
import type { StepPlan } from './dataset/step-plan.ts';
import { adamwStep } from './optimizer/adamw.ts';
import { clipFactor, globalNorm } from './optimizer/clip.ts';
import { baseLearningRate, scheduleFactor } from './optimizer/learning-rate.ts';
import type { TrainingComputation, TrainingExample } from './ports.ts';
import type { TrainingState } from './state/training-state.ts';

export interface LoopOptions {
  readonly hyperparameters: Hyperparameters;
  readonly plan: StepPlan;
  readonly training: readonly TrainingExample[];
  /** Empty: never evaluated. */
  readonly validation: readonly TrainingExample[];
  readonly computation: TrainingComputation;
  readonly clock: Clock;
  /** Called between micro-batches; may throw to end the loop. */
  readonly turn: () => Promise<void>;
  /** Called after every step, evaluation included, before the next begins. */
  readonly stepDone: (metrics: StepMetrics) => Promise<void>;
}

/**
 * Goes on from `state` to the end of the plan, or to the end of patience. What `turn` throws passes through and leaves the state as it was after its last
 * step; going on from there gives what an unbroken run would.
 * @returns whether it stopped early.
 * @throws AppError `invalid_request` when the loss is no number any more.
 */
export async function train(state: TrainingState, options: LoopOptions): Promise<boolean> {
  const { plan, hyperparameters } = options;
  if (state.evaluationDue) await finishStep(state, options);
  for (;;) {
    const patience = hyperparameters.earlyStoppingPatience;
    if (patience > 0 && state.evaluationsWithoutBetter >= patience) return true;
    if (state.step >= plan.totalSteps) return false;
    await optimizerStep(state, options);
    await finishStep(state, options);
  }
}

/** One step without its evaluation. */
async function optimizerStep(state: TrainingState, options: LoopOptions): Promise<void> {
  const { plan, hyperparameters, computation, clock, turn } = options;
  const step = state.step + 1;
  const startedMs = clock.monotonic();
  const batches = plan.microBatches(step).map((rows) => examplesOf(options.training, rows));
  const supervisedTokens = batches.flat().reduce((sum, { supervised }) => sum + supervised.reduce((count, flag) => count + flag, 0), 0);
  computation.zeroGradients();
  let lossSum = 0;
  for (const [index, examples] of batches.entries()) {
    await turn();
    const microBatch = (step - 1) * hyperparameters.gradientAccumulation + index;
    const { rate, seed } = { rate: hyperparameters.lora.dropout, seed: hyperparameters.seed };
    // Together the gradient of the mean over the supervised tokens of the whole step.
    lossSum += computation.accumulate(examples, 1 / supervisedTokens, rate > 0 ? { rate, seed, microBatch } : null).loss;
  }
  const trainLoss = lossSum / supervisedTokens;
  const gradNorm = globalNorm(computation.parameters.map(({ gradient }) => gradient));
  if (!Number.isFinite(trainLoss) || !Number.isFinite(gradNorm))
    throw new AppError('invalid_request', `the loss of step ${step} is not a number any more; try a lower learning_rate, or max_grad_norm`);
  const learningRate = applyGradients(state, options, step, gradNorm);
  const tokens = batches.flat().reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  state.step = step;
  state.trainedTokens += tokens;
  const tokensPerSecond = (1000 * tokens) / Math.max(clock.monotonic() - startedMs, 1e-3);
  state.curve.push({ step, trainLoss, learningRate, gradNorm, tokensPerSecond, supervisedTokens });
  state.evaluationDue = isEvaluated(step, options);
}

/** @returns the schedule's learning rate, that of A. */
function applyGradients(state: TrainingState, { hyperparameters, plan }: LoopOptions, step: number, gradNorm: number): number {
  const { learningRate, weightDecay, maxGradNorm, lora } = hyperparameters;
  const factor = scheduleFactor({ ...hyperparameters, totalSteps: plan.totalSteps }, step);
  const gradientScale = clipFactor(gradNorm, maxGradNorm);
  for (const { parameter, moment1, moment2 } of state.parameters) {
    const { values, gradient } = parameter;
    const rate = factor * baseLearningRate(parameter, learningRate, lora.loraplusLrRatio);
    adamwStep({ values, gradient, moment1, moment2 }, { step, learningRate: rate, weightDecay, gradientScale });
  }
  return factor * learningRate;
}

function isEvaluated(step: number, { plan, validation, hyperparameters }: LoopOptions): boolean {
  return validation.length > 0 && (step === plan.totalSteps || step % hyperparameters.evaluationSteps === 0);
}

async function finishStep(state: TrainingState, options: LoopOptions): Promise<void> {
  const point = state.curve.at(-1);
  if (point === undefined) throw new Error('no step to finish');
  let finished = point;
  if (state.evaluationDue) {
    const validLoss = await evaluationLoss(options);
    finished = { ...point, validLoss };
    state.curve[state.curve.length - 1] = finished;
    noteEvaluation(state, validLoss);
    state.evaluationDue = false;
  }
  await options.stepDone(finished);
}

function noteEvaluation(state: TrainingState, validLoss: number): void {
  if (state.best !== null && validLoss >= state.best.validLoss) {
    state.evaluationsWithoutBetter += 1;
    return;
  }
  state.best = { step: state.step, validLoss, values: state.parameters.map(({ parameter }) => parameter.values.slice()) };
  state.evaluationsWithoutBetter = 0;
}

/** Mean over all supervised tokens of the validation file. */
async function evaluationLoss({ validation, hyperparameters, computation, turn }: LoopOptions): Promise<number> {
  let [loss, tokens] = [0, 0];
  for (let start = 0; start < validation.length; start += hyperparameters.batchSize) {
    await turn();
    const sum = computation.evaluate(validation.slice(start, start + hyperparameters.batchSize));
    loss += sum.loss;
    tokens += sum.supervisedTokens;
  }
  return loss / tokens;
}

function examplesOf(all: readonly TrainingExample[], rows: Int32Array): readonly TrainingExample[] {
  return Array.from(rows, (row) => {
    const example = all[row];
    if (example === undefined) throw new Error(`there is no row ${row}`);
    return example;
  });
}
