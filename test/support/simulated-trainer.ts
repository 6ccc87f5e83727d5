// A trainer process that trains nothing: it obeys orders, keeps checkpoints in the job's folder and writes a result, as the real one does, in steps
// that a test takes or that follow by themselves. Losses and bytes depend on the order and the step alone.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FromTrainer, JobOrder, JobResult, ToTrainer } from '../../src/training/messages.ts';
import type { TrainerProcess } from '../../src/training/jobs/index.ts';
import type { AdapterFilePair } from './adapter-files.ts';

export interface SimulatedTrainerOptions {
  /** The adapter that a job of this seed ends with. */
  readonly adapter: (seed: number) => AdapterFilePair;
  /** Steps follow one another by themselves. */
  readonly runs: boolean;
}

interface Work {
  readonly order: JobOrder;
  step: number;
  wanted: 'run' | 'pause' | 'cancel';
}

const DEFAULT_STEPS = 4;

export class SimulatedTrainer implements TrainerProcess {
  /** Every order that came. */
  readonly orders: JobOrder[] = [];
  /** Answers pings and takes steps only while it does not hang. */
  isHanging = false;
  /** Of the simulated process; counts its starts. */
  startCount = 0;
  readonly #options: SimulatedTrainerOptions;
  readonly #messageListeners: ((message: FromTrainer) => void)[] = [];
  readonly #downListeners: (() => void)[] = [];
  #state: 'stopped' | 'running' | 'backing-off' = 'stopped';
  #work: Work | null = null;

  constructor(options: SimulatedTrainerOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  get work(): Readonly<Work> | null {
    return this.#work;
  }

  start(): void {
    if (this.#state !== 'stopped') return;
    this.#launch();
  }

  async stop(): Promise<void> {
    const wasRunning = this.#state === 'running';
    this.#state = 'stopped';
    this.#work = null;
    this.isHanging = false;
    if (wasRunning) for (const listener of this.#downListeners) listener();
  }

  send(message: ToTrainer): boolean {
    if (this.#state !== 'running') return false;
    if (message.kind === 'start') this.#begin(message.order);
    if ((message.kind === 'pause' || message.kind === 'cancel') && this.#work?.order.jobId === message.jobId)
      this.#work.wanted = message.kind;
    if (message.kind === 'ping' && !this.isHanging) this.emit({ kind: 'pong' });
    return true;
  }

  onMessage(listener: (message: FromTrainer) => void): void {
    this.#messageListeners.push(listener);
  }

  onDown(listener: () => void): void {
    this.#downListeners.push(listener);
  }

  emit(message: FromTrainer): void {
    for (const listener of this.#messageListeners) listener(message);
  }

  /** `kill -9`; the supervisor starts it again when `restart` is called. */
  die(): void {
    if (this.#state !== 'running') return;
    this.#state = 'backing-off';
    this.#work = null;
    for (const listener of this.#downListeners) listener();
  }

  restart(): void {
    if (this.#state === 'backing-off') this.#launch();
  }

  /** One step of the present attempt, or the end of it. False when there is nothing to do. */
  tick(): boolean {
    const work = this.#work;
    if (work === null || this.isHanging) return false;
    const { order } = work;
    const head = { jobId: order.jobId, fence: order.fence };
    if (work.wanted === 'cancel') this.#end({ ...head, kind: 'cancelled', step: work.step });
    else if (work.wanted === 'pause') {
      saveCheckpoint(order, work.step);
      this.#end({ ...head, kind: 'paused', step: work.step });
    } else if (work.step === stepsOf(order)) this.#end({ ...head, kind: 'finished', result: this.#writeResult(order) });
    else {
      work.step += 1;
      this.emit({ ...head, kind: 'step', metrics: metricsOf(order, work.step) });
      if (work.step % order.checkpointSteps === 0) {
        saveCheckpoint(order, work.step);
        this.emit({ ...head, kind: 'checkpoint', step: work.step, validLoss: null });
      }
    }
    return true;
  }

  #launch(): void {
    this.#state = 'running';
    this.startCount += 1;
    this.emit({ kind: 'ready' });
  }

  #begin(order: JobOrder): void {
    this.orders.push(order);
    const step = lastCheckpoint(order);
    this.#work = { order, step, wanted: 'run' };
    this.emit({ kind: 'started', jobId: order.jobId, fence: order.fence, totalSteps: stepsOf(order), resumedFromStep: step });
    if (this.#options.runs) this.#runOn(this.#work);
  }

  #runOn(work: Work): void {
    setImmediate(() => {
      if (this.#work !== work) return;
      this.tick();
      this.#runOn(work);
    });
  }

  #end(message: FromTrainer): void {
    this.#work = null;
    this.emit(message);
  }

  #writeResult(order: JobOrder): JobResult {
    const folder = join(order.jobFolder, 'result');
    mkdirSync(folder, { recursive: true });
    const { config, tensors } = this.#options.adapter(order.hyperparameters.seed);
    writeFileSync(join(folder, 'adapter_config.json'), config);
    writeFileSync(join(folder, 'adapter_model.safetensors'), tensors);
    const steps = stepsOf(order);
    return {
      steps,
      publishedStep: steps,
      trainedTokens: steps * 10,
      trainableParameters: 32,
      finalTrainLoss: metricsOf(order, steps).trainLoss,
      bestValidLoss: null,
      recompressionError: null,
      stoppedEarly: false,
    };
  }
}

function stepsOf({ hyperparameters }: JobOrder): number {
  return hyperparameters.maxSteps ?? DEFAULT_STEPS;
}

/** What every unbroken run of this order says at a step. */
export function metricsOf({ hyperparameters: { seed, learningRate } }: Pick<JobOrder, 'hyperparameters'>, step: number) {
  return { step, trainLoss: 3 / step + (seed % 7) / 100, learningRate, gradNorm: 1 / step, tokensPerSecond: 100, supervisedTokens: 10 };
}

function saveCheckpoint({ jobFolder }: JobOrder, step: number): void {
  const folder = join(jobFolder, 'checkpoints');
  mkdirSync(folder, { recursive: true });
  rmSync(join(folder, 'part'), { recursive: true, force: true });
  mkdirSync(join(folder, 'part'));
  if (!existsSync(join(folder, String(step)))) renameSync(join(folder, 'part'), join(folder, String(step)));
}

function lastCheckpoint({ jobFolder }: JobOrder): number {
  const folder = join(jobFolder, 'checkpoints');
  const steps = existsSync(folder) ? readdirSync(folder).map(Number).filter(Number.isInteger) : [];
  return Math.max(0, ...steps);
}
