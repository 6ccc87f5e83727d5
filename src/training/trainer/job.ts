// One attempt at a job, from its order to its result: rows, initial values or a checkpoint, the loop, what is published. Speaks through callbacks only.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../../models/index.ts';
import type { Hyperparameters } from '../hyperparameters.ts';
import type { JobOrder, JobResult, StepMetrics } from '../messages.ts';
import type { RowText } from '../rows/index.ts';
import { publishedAdapter, type TrainedValues } from './adapter/publish.ts';
import { readAdapter } from './adapter/read-adapter.ts';
import type { InitialValues } from './adapter/trained-site.ts';
import { adapterFiles } from './adapter/write-adapter.ts';
import type { Products } from './algebra/products.ts';
import { loadExamples } from './dataset/load-examples.ts';
import { StepPlan } from './dataset/step-plan.ts';
import { initialValues } from './initialise/initial-values.ts';
import { train } from './loop.ts';
import type { ComputationOptions, TrainedSite, TrainingComputation, TrainingExample, WeightGradients } from './ports.ts';
import { readResult, type StoredResult, writeResult } from './result.ts';
import { resolveSites, type TargetSite } from './sites.ts';
import { Checkpoints } from './state/checkpoints.ts';
import { newState, type TrainingState } from './state/training-state.ts';

/** The base that a job trains on, opened. */
export interface TrainedBase {
  readonly description: BaseModelDescription;
  readonly text: RowText;
  readonly weights: BaseWeights;
  close(): Promise<void>;
}

/** What an attempt needs of the machine. */
export interface JobPorts {
  openBase(modelFolder: string): Promise<TrainedBase>;
  openComputation(options: ComputationOptions): Promise<TrainingComputation>;
  /** Of the unchanged base, for LoRA-GA. */
  openGradients(options: Omit<ComputationOptions, 'sites'>): Promise<WeightGradients>;
  openProducts(threadCount: number): Products;
  readonly clock: Clock;
}

/** How an attempt tells what happens. `turn` lets messages in and may throw to end the attempt. */
export interface AttemptReport {
  readonly turn: () => Promise<void>;
  started(totalSteps: number, resumedFromStep: number): void;
  step(metrics: StepMetrics): void;
  checkpoint(step: number, validLoss: number | null): void;
  /** The step that a resumed attempt would go on from. */
  durable(step: number): void;
}

/** Rows whose gradient LoRA-GA looks at: the first of the job. PEFT's guide suggests 64 to 128. */
const LORA_GA_ROWS = 64;

interface Rows {
  readonly training: readonly TrainingExample[];
  readonly validation: readonly TrainingExample[];
  readonly plan: StepPlan;
}

/**
 * Runs until the result is durable.
 * @throws AppError with a safe text for what the tenant can mend; whatever `turn` throws once the state is durable.
 */
export async function runJob(order: JobOrder, ports: JobPorts, report: AttemptReport): Promise<JobResult> {
  const earlier = await readResult(order.jobFolder);
  if (earlier !== null) return retold(earlier, report);
  const base = await ports.openBase(order.modelFolder);
  try {
    return await runAttempt(order, base, ports, report);
  } finally {
    await base.close();
  }
}

/** An attempt before this one wrote the result, and whoever heard of its steps may have gone with it. */
function retold({ result, curve }: StoredResult, report: AttemptReport): JobResult {
  report.started(result.steps, result.steps);
  for (const metrics of curve) report.step(metrics);
  return result;
}

async function runAttempt(order: JobOrder, base: TrainedBase, ports: JobPorts, report: AttemptReport): Promise<JobResult> {
  const { hyperparameters, jobFolder } = order;
  const targets = resolveSites(hyperparameters.lora, base.description);
  const rows = await loadRows(order, base);
  await report.turn();
  const checkpoints = await Checkpoints.open(join(jobFolder, 'checkpoints'), identityOf(hyperparameters, rows));
  const resumedFrom = await checkpoints.lastStep();
  if (resumedFrom === null) await checkpoints.writeInitial(await beginning(order, targets, { base, rows, ports, report }));
  const initial = await checkpoints.readInitial(targets);
  const computation = await ports.openComputation({
    ...order,
    basePrecision: hyperparameters.basePrecision,
    sites: initial.map(trainedSite),
  });
  try {
    const state = newState(computation.parameters);
    setInitial(state, initial);
    if (resumedFrom !== null && resumedFrom > 0) await checkpoints.restore(resumedFrom, state);
    report.durable(state.step);
    report.started(rows.plan.totalSteps, state.step);
    for (const metrics of state.curve) report.step(metrics);
    const stoppedEarly = await trainDurably({ order, rows, computation, checkpoints, state, ports, report });
    return await finish({ order, base, initial, state, stoppedEarly, ports });
  } finally {
    computation.close();
  }
}

async function loadRows({ trainingFile, validationFile, hyperparameters }: JobOrder, { text }: TrainedBase): Promise<Rows> {
  const { maxSeqLength } = hyperparameters;
  const training = await loadExamples(trainingFile, 'training', text, maxSeqLength);
  const validation = validationFile === null ? [] : await loadExamples(validationFile, 'validation', text, maxSeqLength);
  return { training, validation, plan: new StepPlan(training.length, hyperparameters) };
}

/** What must be the same for a checkpoint to be gone on from. */
function identityOf(hyperparameters: Hyperparameters, { training, validation }: Rows): string {
  const hash = createHash('sha256').update(JSON.stringify(hyperparameters));
  for (const examples of [training, validation]) {
    hash.update(`${examples.length} rows`);
    for (const { tokenIds, supervised } of examples) hash.update(tokenIds).update(supervised);
  }
  return hash.digest('hex');
}

interface Beginning {
  readonly base: TrainedBase;
  readonly rows: Rows;
  readonly ports: JobPorts;
  readonly report: AttemptReport;
}

async function beginning(
  order: JobOrder,
  targets: readonly TargetSite[],
  { base, rows, ports, report }: Beginning,
): Promise<readonly InitialValues[]> {
  const { hyperparameters, initialAdapter } = order;
  if (initialAdapter !== null) {
    const values = await readAdapter(initialAdapter, hyperparameters.lora, targets);
    return values.map((site) => ({ ...site, changesBase: false }));
  }
  const { init } = hyperparameters.lora;
  const gradients = init === 'lora_ga' ? await ports.openGradients({ ...order, basePrecision: hyperparameters.basePrecision }) : null;
  try {
    using products = init === 'lora_ga' || init === 'pissa' ? ports.openProducts(order.threadCount) : null;
    return await initialValues(hyperparameters, targets, {
      weights: base.weights,
      products,
      turn: report.turn,
      gradients: (sites, take) => void gradients?.forEachSite(firstRows(rows), sites, take),
    });
  } finally {
    gradients?.close();
  }
}

function firstRows({ training, plan }: Rows): readonly TrainingExample[] {
  const first: TrainingExample[] = [];
  for (let step = 1; step <= plan.totalSteps && first.length < LORA_GA_ROWS; step += 1) {
    for (const row of plan.microBatches(step).flatMap((batch) => [...batch])) {
      const example = training[row];
      if (example !== undefined && first.length < LORA_GA_ROWS) first.push(example);
    }
  }
  return first;
}

function trainedSite({ target, changesBase, a, b, magnitude }: InitialValues): TrainedSite {
  const { site, rank, scale } = target;
  return { site: site.id, rank, scale, dora: magnitude !== null, origin: changesBase ? { a, b } : null };
}

function setInitial(state: TrainingState, initial: readonly InitialValues[]): void {
  const bySite = new Map(initial.map((values) => [values.target.site.id, values]));
  for (const { parameter } of state.parameters) {
    const values = bySite.get(parameter.site);
    const part = values && { A: values.a, B: values.b, magnitude: values.magnitude }[parameter.part];
    if (!part) throw new Error(`the computation has a parameter ${parameter.site}.${parameter.part}, which nothing initialises`);
    parameter.values.set(part);
  }
}

interface Training {
  readonly order: JobOrder;
  readonly rows: Rows;
  readonly computation: TrainingComputation;
  readonly checkpoints: Checkpoints;
  readonly state: TrainingState;
  readonly ports: JobPorts;
  readonly report: AttemptReport;
}

/** Whatever ends the loop, the steps that are done are durable afterwards. @returns whether it stopped early. */
async function trainDurably({ order, rows, computation, checkpoints, state, ports, report }: Training): Promise<boolean> {
  const stepDone = async (metrics: StepMetrics): Promise<void> => {
    report.step(metrics);
    if (metrics.step % order.checkpointSteps !== 0) return;
    await checkpoints.write(state);
    report.durable(state.step);
    report.checkpoint(state.step, metrics.validLoss ?? null);
  };
  try {
    const { hyperparameters } = order;
    return await train(state, { ...rows, hyperparameters, computation, clock: ports.clock, turn: report.turn, stepDone });
  } catch (error) {
    await checkpoints.write(state);
    report.durable(state.step);
    throw error;
  }
}

interface Finished {
  readonly order: JobOrder;
  readonly base: TrainedBase;
  readonly initial: readonly InitialValues[];
  readonly state: TrainingState;
  readonly stoppedEarly: boolean;
  readonly ports: JobPorts;
}

async function finish({ order, base, initial, state, stoppedEarly, ports }: Finished): Promise<JobResult> {
  const { lora, publish, recompressRank } = order.hyperparameters;
  const best = publish === 'best' ? state.best : null;
  const trained = trainedValues(initial, state, best?.values ?? state.parameters.map(({ parameter }) => parameter.values));
  using products = recompressRank === null ? null : ports.openProducts(order.threadCount);
  const published = publishedAdapter(
    lora,
    trained,
    recompressRank === null || products === null ? null : { rank: recompressRank, products },
  );
  const result: JobResult = {
    steps: state.step,
    publishedStep: best?.step ?? state.step,
    trainedTokens: state.trainedTokens,
    trainableParameters: state.parameters.reduce((sum, { parameter }) => sum + parameter.values.length, 0),
    finalTrainLoss: state.curve.at(-1)?.trainLoss ?? 0,
    bestValidLoss: state.best?.validLoss ?? null,
    recompressionError: published.compressionError,
    stoppedEarly,
  };
  await writeResult(order.jobFolder, adapterFiles(published, base.description.id), { result, curve: state.curve });
  return result;
}

function trainedValues(initial: readonly InitialValues[], state: TrainingState, values: readonly Float32Array[]): readonly TrainedValues[] {
  const byName = new Map(state.parameters.map(({ parameter }, index) => [`${parameter.site}.${parameter.part}`, values[index]]));
  const valueOf = (site: string, part: string): Float32Array => {
    const found = byName.get(`${site}.${part}`);
    if (found === undefined) throw new Error(`the computation has no parameter ${site}.${part}`);
    return found;
  };
  return initial.map(({ target, changesBase, a, b, magnitude }) => {
    const { id } = target.site;
    return {
      target,
      a: valueOf(id, 'A'),
      b: valueOf(id, 'B'),
      magnitude: magnitude === null ? null : valueOf(id, 'magnitude'),
      origin: changesBase ? { a, b } : null,
    };
  });
}
