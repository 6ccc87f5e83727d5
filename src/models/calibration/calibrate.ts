// Measures a base model on the calibration text: the largest activation of every channel of its float32 graph, and how far predictions move
// when a projection group is row-wise.
// Loads ONNX Runtime, so the front must not import it; entries/calibrate.ts runs it in a process of its own.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compileDecoder, type CompileOptions } from '../../architectures/index.ts';
import { encodeOnnxModel } from '../../formats/index.ts';
import {
  elementCount,
  type Graph,
  observeInputs,
  recipeShape,
  type RowLevels,
  runPasses,
  smoothInputs,
  type StoredWeight,
  storedWeights,
  toOnnx,
  tryRows,
} from '../../graph/index.ts';
import { createEnvironment, createSession, mapWeights, type OrtEnvironment, type WeightEntry } from '../../runtime/index.ts';
import { openCompiled, writeWeights } from '../compile-model.ts';
import type { ModelPackage } from '../model-package.ts';
import { thisMachine } from '../serving-forms.ts';
import { groupWeights, rowKernels, rowTrials, smoothing } from '../row-wise/row-wise-groups.ts';
import { type Calibration, writeCalibration } from './calibration.ts';
import { calibrationWindows } from './calibration-windows.ts';
import { ObservedDecoder } from './observed-decoder.ts';
import { type ChosenRows, tryRowWise } from './row-trials.ts';

export interface CalibrateOptions {
  readonly threadCount: number;
  /** Of the products that are tried; this processor's own where absent. `full` is exact on processors with int8 dot products alone. */
  readonly levels?: RowLevels;
  /** Path of another ONNX Runtime library. */
  readonly libraryPath?: string;
  /** In tokens that are read, those of each trial too; how many trials there will be is not known, so the total grows with them. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Tokens of one run: bounds the memory of the observed activations. */
const CHUNK_TOKENS = 128;
/** Texts of the trials: this many, of this length. */
const TRIAL_ROWS = 4;
const TRIAL_TOKENS = 64;
/**
 * Mean KL divergence from the float32 model that row-wise products may bring on these texts, in nats. int8 blocks bring 0.0063 here, where texts begin, and half
 * of that over 1,024 tokens. With full levels the form stands beside int8 by default and must be
 * as exact; with paired ones all groups of the default model bring 0.0106.
 */
const LARGEST_DIVERGENCE = { full: 0.007, paired: 0.012 } as const satisfies Record<RowLevels, number>;
const WEIGHTS_FILE = 'weights.bin';

/** Calibrates the model and stores the result in its package. @throws Error when a weight or the runtime cannot be loaded. */
export async function calibrate(model: ModelPackage, options: CalibrateOptions): Promise<Calibration> {
  const work = join(model.folder, `.calibrate-${process.pid}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    const { onProgress, levels = rowKernels(thisMachine()).levels } = options;
    const windows = calibrationWindows(model);
    const texts = windows.filter(({ length }) => length >= TRIAL_TOKENS).slice(0, TRIAL_ROWS);
    const readCount = windows.reduce((sum, window) => sum + window.length, 0);
    const trialTokens = TRIAL_ROWS * TRIAL_TOKENS;
    const observed = await writeObservedGraph(model, work);
    const maxima = await observe(options, model, observed, windows, (done) => onProgress?.(done, readCount + trialTokens));
    const trials = await writeTrialGraph(model, work, maxima.inputMax, levels);
    let done = readCount;
    const onTrial = (): void => {
      done += trialTokens;
      onProgress?.(done, done + trialTokens);
    };
    const chosen = await chooseRows(options, model, trials, { texts, levels, onTrial });
    onProgress?.(done, done);
    const calibration = { ...maxima, levels, ...chosen };
    await writeCalibration(model.folder, model.record.digest, calibration);
    return calibration;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface CalibrationGraph {
  readonly graph: Graph;
  readonly path: string;
  readonly weightsPath: string;
  readonly weights: readonly WeightEntry[];
}

function everyToken({ config }: ModelPackage): CompileOptions {
  return { precision: 'fp32', lora: 'none', maxContext: config.maxContext, lastLayer: 'all' };
}

/** The float32 graph of the base with observed inputs. Reads the weights of a compiled float32 form where there is one. */
async function writeObservedGraph(model: ModelPackage, work: string): Promise<CalibrationGraph> {
  const { graph } = compileDecoder(model.config, everyToken(model));
  runPasses(graph, [observeInputs]);
  const wanted = storedWeights(graph);
  const bytesOf = new Map(wanted.map(({ key, shape }: StoredWeight) => [key, elementCount(shape) * Float32Array.BYTES_PER_ELEMENT]));
  const path = join(work, 'observed.onnx');
  const weightsPath = join(work, WEIGHTS_FILE);
  // The session is given every weight by name; ONNX Runtime only looks whether the file that the graph names is there.
  const locate = (key: string) => ({ location: WEIGHTS_FILE, offset: 0, length: bytesOf.get(key) ?? 0 });
  await writeFile(path, encodeOnnxModel(toOnnx(graph, locate)));
  await writeFile(weightsPath, '');
  const form = await openCompiled(model.folder, 'fp32', 'fp32', model.record.digest);
  if (form) return { graph, path, weightsPath: form.weightsPath, weights: form.weights };
  return { graph, path, weightsPath, weights: (await writeWeights(model, weightsPath, wanted)).entries };
}

/** The same with row-wise products beside their own. */
async function writeTrialGraph(
  model: ModelPackage,
  work: string,
  inputMax: Calibration['inputMax'],
  levels: RowLevels,
): Promise<CalibrationGraph> {
  const { graph } = compileDecoder(model.config, everyToken(model));
  await using checkpoint = await model.openCheckpoint();
  runPasses(graph, [smoothInputs(await smoothing(model.config, checkpoint, inputMax)), tryRows(rowTrials(model.config), levels)]);
  const path = join(work, 'trials.onnx');
  const weightsPath = join(work, WEIGHTS_FILE);
  const { entries, place } = await writeWeights(model, weightsPath, storedWeights(graph));
  await writeFile(path, encodeOnnxModel(toOnnx(graph, place)));
  return { graph, path, weightsPath, weights: entries };
}

/** An environment keeps packed weights: each stage has one of its own, so that it does not hold the other's. */
function openEnvironment({ threadCount, libraryPath }: CalibrateOptions): OrtEnvironment {
  return createEnvironment({ threadCount, allowSpinning: false, ...(libraryPath !== undefined && { libraryPath }) });
}

async function observe(
  options: CalibrateOptions,
  { config }: ModelPackage,
  { graph, ...files }: CalibrationGraph,
  windows: readonly (readonly number[])[],
  onRead: (tokenCount: number) => void,
): Promise<ObservedDecoder['maxima']> {
  using environment = openEnvironment(options);
  using weights = mapWeights(environment, files.weightsPath, files.weights);
  const names = storedWeights(graph).map(({ name }) => name);
  using session = createSession(environment, files.path, { weights: { shared: weights, names } });
  const capacity = Math.max(...windows.map((window) => window.length));
  using decoder = new ObservedDecoder({ environment, session, graph, config, capacity });
  let done = 0;
  for (const window of windows) {
    for (let start = 0; start < window.length; start += CHUNK_TOKENS) {
      const chunk = window.slice(start, start + CHUNK_TOKENS);
      decoder.read(chunk, start);
      onRead((done += chunk.length));
      // A run blocks; in between, the process may learn that its parent has gone.
      await nextTurn();
    }
    decoder.endWindow(window.length);
  }
  return decoder.maxima;
}

async function chooseRows(
  options: CalibrateOptions,
  { config }: ModelPackage,
  { graph, ...files }: CalibrationGraph,
  { texts, levels, onTrial }: { readonly texts: readonly (readonly number[])[]; readonly levels: RowLevels; readonly onTrial: () => void },
): Promise<ChosenRows> {
  using environment = openEnvironment(options);
  using weights = mapWeights(environment, files.weightsPath, files.weights);
  const names = storedWeights(graph).map(({ name }) => name);
  using session = createSession(environment, files.path, { weights: { shared: weights, names } });
  const starts = texts.map((text) => text.slice(0, TRIAL_TOKENS));
  const candidates = [...groupWeights(config)].map(([group, weight]) => ({ group, weightCount: elementCount(recipeShape(weight)) }));
  return await tryRowWise({ environment, session, graph, config, texts: starts, candidates, bound: LARGEST_DIVERGENCE[levels], onTrial });
}
