// Compiles a base at one precision: graphs of every profile over one shared weights file. Checked on open, rebuilt when stale.
import { stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type CallKind, compileDecoder, type CompileOptions, type LlamaConfig, type RowWise } from '../architectures/index.ts';
import type { Digest } from '../core/index.ts';
import { encodeOnnxModel } from '../formats/index.ts';
import { type Graph, type StoredWeight, storedWeights, toOnnx } from '../graph/index.ts';
import type { WeightEntry } from '../runtime/index.ts';
import { type Manifest, type ManifestFile, type ManifestGraph, readManifest, writeManifest } from './compiled-manifest.ts';
import {
  COMMON_PROFILES,
  type CompiledGraph,
  type CompiledModel,
  GRAPH_PROFILES,
  type GraphProfile,
  KV_PRECISIONS,
  type KvPrecision,
  type Precision,
} from './compiled-model.ts';
import { readCalibration } from './calibration/calibration.ts';
import { kvScales } from './calibration/kv-scales.ts';
import type { Checkpoint } from './checkpoint.ts';
import { createMaterialiser } from './materialise.ts';
import type { ModelPackage } from './model-package.ts';
import { chosenRowWise, type RowKernels, rowKernels } from './row-wise/row-wise-groups.ts';
import { thisMachine } from './serving-forms.ts';
import { sideLevelsOf } from './side-levels-graph.ts';
import { trainingWeights } from './training-weights.ts';
import { writeWeightsFile } from './weights-file.ts';
import { writeWholeFolder } from './whole-folder.ts';

/** Raise it with every change of graphs, recipes or quantisation: what older code compiled is then compiled again. */
export const COMPILER_VERSION = 20;

export const WEIGHTS_FILE = 'weights.bin';
const SIDE_LEVELS_FILE = 'side-levels.onnx';

/** Opens the compiled form, compiling it first when it is missing, cut off or made by another compiler version. */
export async function ensureCompiled(
  model: ModelPackage,
  precision: Precision,
  onProgress?: (done: number, total: number) => void,
): Promise<CompiledModel> {
  return (await openCompiled(model.folder, precision, 'fp32', model.record.digest)) ?? compile(model, precision, onProgress);
}

/**
 * The compiled form, with graphs over a cache of that precision, if it is whole and current, else null. An int8 cache needs the package's
 * calibration as well. `baseDigest` absent: that of the manifest.
 */
export async function openCompiled(
  modelFolder: string,
  precision: Precision,
  kv: KvPrecision,
  baseDigest?: Digest,
): Promise<CompiledModel | null> {
  const folder = compiledFolder(modelFolder, precision);
  const manifest = await readManifest(folder);
  if (!manifest || !isCurrent(manifest, precision) || (baseDigest !== undefined && manifest.baseDigest !== baseDigest)) return null;
  if (!(await isWhole(folder, manifest))) return null;
  const calibration = kv === 'int8' ? await readCalibration(modelFolder, manifest.baseDigest) : null;
  if (kv === 'int8' && !calibration) return null;
  const { rows, mixed, token } = manifest.graphs[kv];
  const opened = (graph: ManifestGraph): CompiledGraph => ({ ...graph, path: join(folder, graph.file) });
  return {
    precision,
    shape: manifest.shape,
    weightsPath: join(folder, WEIGHTS_FILE),
    weights: manifest.weights,
    graphs: { none: opened(rows.none), linear: opened(rows.linear), full: opened(rows.full) },
    mixedGraphs: { none: opened(mixed.none), linear: opened(mixed.linear) },
    tokenGraphs: token && { none: opened(token.none), linear: opened(token.linear) },
    sideLevels: manifest.sideLevels && { ...manifest.sideLevels, path: join(folder, manifest.sideLevels.file) },
    kvScales: calibration && kvScales(calibration),
  };
}

/** Made by this code, and with the products that the form has on this machine. */
function isCurrent({ compilerVersion, precision, rowWise }: Manifest, wanted: Precision): boolean {
  return compilerVersion === COMPILER_VERSION && precision === wanted && isForHere(rowWise, wanted);
}

function compiledFolder(modelFolder: string, precision: Precision): string {
  return join(modelFolder, 'compiled', precision);
}

/** Files that were cut off have another length. */
async function isWhole(folder: string, { weightsBytes, graphs, sideLevels }: Manifest): Promise<boolean> {
  const files = [
    { file: WEIGHTS_FILE, bytes: weightsBytes },
    ...Object.values(graphs).flatMap(({ rows, mixed, token }) => [rows, mixed, token ?? {}].flatMap(Object.values<ManifestGraph>)),
    ...(sideLevels ? [sideLevels] : []),
  ];
  for (const { file, bytes } of files) {
    const entry = await stat(join(folder, file)).catch(() => null);
    if (entry?.size !== bytes) return false;
  }
  return true;
}

async function compile(
  model: ModelPackage,
  precision: Precision,
  onProgress?: (done: number, total: number) => void,
): Promise<CompiledModel> {
  const target = compiledFolder(model.folder, precision);
  try {
    await writeWholeFolder(target, (work) => writeCompiled(model, precision, work, onProgress));
  } catch (error) {
    // Another process may have finished the same work in between.
    const finished = await openCompiled(model.folder, precision, 'fp32', model.record.digest);
    if (finished) return finished;
    throw error;
  }
  const compiled = await openCompiled(model.folder, precision, 'fp32', model.record.digest);
  if (!compiled) throw new Error(`the compiled model in ${target} cannot be read back`);
  return compiled;
}

async function writeCompiled(
  model: ModelPackage,
  precision: Precision,
  folder: string,
  onProgress?: (done: number, total: number) => void,
): Promise<void> {
  const { config } = model;
  const rowWise = await rowWiseOf(model, precision);
  const target = {
    precision: blockPrecision(precision),
    ...(rowWise && { rowWise }),
    maxContext: config.maxContext,
  } as const;
  const decoders = compileDecoders(config, target);
  const sideLevels = rowWise ? sideLevelsOf(decoders, rowWise) : null;
  const weights = await writeWeights(
    model,
    join(folder, WEIGHTS_FILE),
    [
      ...[...decoders, ...(sideLevels ? [sideLevels] : [])].flatMap(({ graph }) => storedWeights(graph)),
      ...trainingWeights(config, precision),
    ],
    onProgress,
  );
  type Written = { [Call in CallKind]: Partial<Record<GraphProfile, ManifestGraph>> | null };
  const empty = (): Written => ({ rows: null, mixed: null, token: null });
  const graphs = { fp32: empty(), int8: empty() };
  for (const { kv, profile, call, graph, loraGroups } of decoders) {
    const path = join(folder, `${call === 'rows' ? '' : `${call}-`}${profile}.kv-${kv}.onnx`);
    graphs[kv][call] = { ...graphs[kv][call], [profile]: { ...(await writeGraph(graph, path, weights.place)), loraGroups } };
  }
  await writeManifest(folder, {
    compilerVersion: COMPILER_VERSION,
    baseDigest: model.record.digest,
    precision,
    rowWise: rowWise ? { levels: rowWise.levels, others: rowWise.others, products: productsOf(rowWise) } : null,
    shape: {
      layerCount: config.layerCount,
      kvHeadCount: config.kvHeadCount,
      headSize: config.headSize,
      vocabularySize: config.vocabularySize,
      maxContext: config.maxContext,
    },
    weightsBytes: weights.bytes,
    weights: weights.entries,
    graphs: graphs as Manifest['graphs'],
    sideLevels: sideLevels && {
      ...(await writeGraph(sideLevels.graph, join(folder, SIDE_LEVELS_FILE), weights.place)),
      stacks: sideLevels.stacks,
      groupIds: sideLevels.groupIds,
    },
  });
}

/** Graphs over both caches, of every profile for each kind of call that has graphs of its own. */
function compileDecoders(config: LlamaConfig, target: Pick<CompileOptions, 'precision' | 'rowWise' | 'maxContext'>) {
  const calls = [
    ...GRAPH_PROFILES.map((profile) => ({ profile, call: 'rows' }) as const),
    ...COMMON_PROFILES.map((profile) => ({ profile, call: 'mixed' }) as const),
    // What one row spares is in products row by row.
    ...(target.rowWise ? COMMON_PROFILES : []).map((profile) => ({ profile, call: 'token' }) as const),
  ];
  return KV_PRECISIONS.flatMap((kv) =>
    calls.map(({ profile, call }) => ({ kv, profile, call, ...compileDecoder(config, { ...target, lora: profile, kv, call }) })),
  );
}

/** Of the weights that are not multiplied row by row. */
export function blockPrecision(form: Precision): 'fp32' | 'int8' | 'int4' {
  return form === 'w8a8' ? 'int8' : form;
}

/** Which projection groups of a form are multiplied row by row in integers; undefined: none. @throws Error at w8a8 without a calibration. */
export async function rowWiseOf(model: ModelPackage, form: Precision): Promise<RowWise | undefined> {
  if (form !== 'w8a8') return undefined;
  const calibration = await readCalibration(model.folder, model.record.digest);
  const kernels = rowKernels(thisMachine());
  if (calibration?.levels !== kernels.levels)
    throw new Error(`${model.record.id} is not calibrated for this processor, which compiling it at w8a8 needs`);
  return chosenRowWise(model, calibration, kernels);
}

/** Made for other kernels, products in integers would be slow, or wrong where levels may saturate. */
function isForHere(made: RowKernels | null, form: Precision): boolean {
  if (form !== 'w8a8') return made === null;
  const here = rowKernels(thisMachine());
  return made?.levels === here.levels && made.others === here.others;
}

function productsOf({ groups }: RowWise): Readonly<Record<string, number>> {
  return Object.fromEntries([...groups].map(([group, { products }]) => [group, products]));
}

export type Placement = (key: string) => { readonly location: string; readonly offset: number; readonly length: number };

interface WrittenWeights {
  readonly bytes: number;
  readonly entries: readonly WeightEntry[];
  readonly place: Placement;
}

export async function writeWeights(
  model: ModelPackage,
  path: string,
  wanted: readonly StoredWeight[],
  onProgress?: (done: number, total: number) => void,
): Promise<WrittenWeights> {
  await using checkpoint = await model.openCheckpoint();
  return await writeWeightsOf(checkpoint, path, wanted, onProgress);
}

/** @throws Error when the checkpoint lacks a tensor or has another shape. */
export async function writeWeightsOf(
  checkpoint: Checkpoint,
  path: string,
  wanted: readonly StoredWeight[],
  onProgress?: (done: number, total: number) => void,
): Promise<WrittenWeights> {
  const recipes = [...new Map(wanted.map(({ key, recipe }) => [key, recipe])).values()];
  const stored = await writeWeightsFile({ path, recipes, materialiser: createMaterialiser(checkpoint), ...(onProgress && { onProgress }) });
  const place: Placement = (key) => {
    const found = stored.get(key);
    if (!found) throw new Error(`no bytes were stored for ${key}`);
    return { location: WEIGHTS_FILE, offset: found.offset, length: found.bytes };
  };
  const entries = new Map<string, WeightEntry>();
  for (const { name, type, shape, key } of wanted) {
    if (type === 'bool') throw new Error(`weight ${name} has the type bool, which no tensor of ours has`);
    entries.set(name, { name, type, shape, offset: place(key).offset });
  }
  return { bytes: (await stat(path)).size, entries: [...entries.values()], place };
}

async function writeGraph(graph: Graph, path: string, place: Placement): Promise<ManifestFile> {
  const bytes = encodeOnnxModel(toOnnx(graph, place));
  await writeFile(path, bytes);
  return { file: basename(path), bytes: bytes.byteLength, weightNames: storedWeights(graph).map(({ name }) => name) };
}
