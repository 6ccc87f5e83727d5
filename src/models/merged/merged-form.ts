// A base with one adapter merged in, as files: a graph without side paths, and the weights that differ from those of the compiled base, which it
// shares the rest with. Whole or absent; made again when the compiler or the base's form has changed.
import { open, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compileDecoder } from '../../architectures/index.ts';
import { encodeOnnxModel } from '../../formats/index.ts';
import { ELEMENT_BYTES, elementCount, storedWeights, type StoredWeight, toOnnx } from '../../graph/index.ts';
import { withRecent } from '../checkpoint.ts';
import type { CompiledModel, KvPrecision, Precision } from '../compiled-model.ts';
import {
  blockPrecision,
  COMPILER_VERSION,
  openCompiled,
  type Placement,
  rowWiseOf,
  WEIGHTS_FILE,
  writeWeightsOf,
} from '../compile-model.ts';
import type { ModelPackage } from '../model-package.ts';
import { writeWholeFolder } from '../whole-folder.ts';
import { mergedCheckpoint, type TensorMerge } from './merged-checkpoint.ts';

const GRAPH_FILE = 'graph.onnx';
const MANIFEST_FILE = 'manifest.json';
/**
 * Where a graph says that shared weights lie. Sessions are given them, so the file is empty: ONNX Runtime wants it to be there, and a session
 * that would read it fails.
 */
const SHARED_FILE = 'shared.bin';

interface Manifest {
  readonly compilerVersion: number;
  readonly precision: Precision;
  readonly kv: KvPrecision;
  readonly graphBytes: number;
  readonly weightsBytes: number;
  /** Initializers that the weights of the compiled base give. */
  readonly sharedNames: readonly string[];
}

export interface MergedForm {
  readonly graphPath: string;
  /** Initializers that a session must be given from the base's weights; it reads all others from its own file. */
  readonly sharedNames: readonly string[];
  /** Bytes of the weights that are its own. */
  readonly bytes: number;
}

/** The form in a folder if it is whole, current and fits this form of the base, else null. */
export async function openMergedForm(folder: string, base: CompiledModel): Promise<MergedForm | null> {
  const manifest = await readManifest(join(folder, MANIFEST_FILE));
  if (!manifest || manifest.precision !== base.precision || manifest.kv !== kvOf(base)) return null;
  const present = new Set(base.weights.map(({ name }) => name));
  if (!manifest.sharedNames.every((name) => present.has(name))) return null;
  const sizes = [
    [GRAPH_FILE, manifest.graphBytes],
    [WEIGHTS_FILE, manifest.weightsBytes],
    [SHARED_FILE, 0],
  ] as const;
  for (const [file, bytes] of sizes) if ((await stat(join(folder, file)).catch(() => null))?.size !== bytes) return null;
  return { graphPath: join(folder, GRAPH_FILE), sharedNames: manifest.sharedNames, bytes: manifest.weightsBytes };
}

/** Notes that a form was used, for whoever makes room. */
export async function touchMergedForm(folder: string, now: Date): Promise<void> {
  await utimes(folder, now, now);
}

export interface MergeTarget {
  readonly precision: Precision;
  readonly kv: KvPrecision;
  /** Checkpoint tensor → its merge, for every tensor that the adapter changes. */
  readonly merges: ReadonlyMap<string, TensorMerge>;
  /** As in `CompileOptions`. */
  readonly changedPrecision?: 'int8' | 'base';
}

/**
 * Makes the form in `folder`, which appears whole. Takes seconds of one core. @throws Error when the base's own form is missing or a merge
 * gives values that float32 cannot hold.
 */
export async function makeMergedForm(model: ModelPackage, target: MergeTarget, folder: string): Promise<void> {
  const base = await openCompiled(model.folder, target.precision, target.kv, model.record.digest);
  if (!base) throw new Error(`no current ${target.precision} form with a ${target.kv} cache of ${model.record.id} is compiled`);
  await writeWholeFolder(folder, (work) => writeForm(model, target, base, work));
}

async function writeForm(
  model: ModelPackage,
  { precision, kv, merges, changedPrecision = 'int8' }: MergeTarget,
  base: CompiledModel,
  folder: string,
): Promise<void> {
  const rowWise = await rowWiseOf(model, precision);
  const { graph } = compileDecoder(model.config, {
    precision: blockPrecision(precision),
    ...(rowWise && { rowWise }),
    lora: 'none',
    kv,
    maxContext: model.config.maxContext,
    changed: new Set(merges.keys()),
    changedPrecision,
  });
  const [shared, own] = sharedAndOwn(storedWeights(graph), base);
  await using checkpoint = mergedCheckpoint(await model.openCheckpoint(), model, merges);
  const weights = await writeWeightsOf(withRecent(checkpoint, RECENT_TENSORS), join(folder, WEIGHTS_FILE), own);
  const bytes = encodeOnnxModel(toOnnx(graph, placement(shared, weights.place)));
  await writeFile(join(folder, GRAPH_FILE), bytes);
  await writeFile(join(folder, SHARED_FILE), '');
  const manifest: Manifest = {
    compilerVersion: COMPILER_VERSION,
    precision,
    kv,
    graphBytes: bytes.byteLength,
    weightsBytes: weights.bytes,
    sharedNames: shared.map(({ name }) => name),
  };
  await using file = await open(join(folder, MANIFEST_FILE), 'w');
  await file.writeFile(JSON.stringify(manifest));
  await file.sync();
}

/** A changed embedding may be read by two weights. */
const RECENT_TENSORS = 2;

function placement(shared: readonly StoredWeight[], own: Placement): Placement {
  const bytes = new Map(shared.map(({ key, type, shape }) => [key, elementCount(shape) * ELEMENT_BYTES[type]]));
  return (key) => {
    const length = bytes.get(key);
    return length === undefined ? own(key) : { location: SHARED_FILE, offset: 0, length };
  };
}

/** What one key names is shared whole or not at all: the weights of a key are one stored block, read in different shapes. */
function sharedAndOwn(weights: readonly StoredWeight[], base: CompiledModel): readonly [readonly StoredWeight[], readonly StoredWeight[]] {
  const names = new Set(base.weights.map(({ name }) => name));
  const ownKeys = new Set(weights.filter(({ name }) => !names.has(name)).map(({ key }) => key));
  return [weights.filter(({ key }) => !ownKeys.has(key)), weights.filter(({ key }) => ownKeys.has(key))];
}

function kvOf({ kvScales }: CompiledModel): KvPrecision {
  return kvScales ? 'int8' : 'fp32';
}

async function readManifest(path: string): Promise<Manifest | null> {
  try {
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
    return manifest.compilerVersion === COMPILER_VERSION ? manifest : null;
  } catch {
    return null;
  }
}
