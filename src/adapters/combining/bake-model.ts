// A base model with an adapter merged into its weights, written as a folder in Hugging Face layout. One tensor is in memory at a time.
import { mkdir, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../core/index.ts';
import { tensorBytes, writeSafetensorsFile, type PlannedTensor, type SafetensorsTensor } from '../../formats/index.ts';
import type { AdapterSite, ModelPackage } from '../../models/index.ts';
import { mergedTensors, type PackedAdapter } from '../packed.ts';
import { baseConfig, writeCompanions, type BakedChanges } from './bake-files.ts';

export type BakedDtype = 'float32' | 'float16' | 'bfloat16';

export interface BakeOptions {
  /** Made; must not hold anything. */
  readonly folder: string;
  /** null: that of the base's files; float32 for a GGUF file, whose numbers have no such type. */
  readonly dtype: BakedDtype | null;
  /** A file of weights holds no more bytes, but for a tensor that is larger alone. */
  readonly shardBytes: number;
  readonly onProgress?: (doneTensors: number, allTensors: number) => void;
}

export interface BakedModel {
  readonly files: readonly string[];
  readonly dtype: BakedDtype;
  readonly weightBytes: number;
  readonly changedTensors: number;
  /** Embedding and head shared a weight in the base, and the adapter changed one of them. */
  readonly untied: boolean;
}

const CODES: Readonly<Record<BakedDtype, SafetensorsTensor['dtype']>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };
const LARGEST_FLOAT16 = 65_504;
const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';

/** @throws AppError `usage` for a folder that is not empty, `unsupported_adapter` for what a Llama checkpoint cannot hold. */
export async function bakeModel(model: ModelPackage, adapter: PackedAdapter, options: BakeOptions): Promise<BakedModel> {
  await requireEmpty(options.folder);
  const config = await baseConfig(model);
  const dtype = options.dtype ?? dtypeOf(config);
  const merges = mergedTensors(adapter, model.description.sites);
  const { tensors, changes } = planTensors(model, merges.keys(), dtype);
  const work = `${options.folder}.part-${process.pid}`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    const companions = await writeCompanions(model, work, config, changes);
    await using checkpoint = await model.openCheckpoint();
    let done = 0;
    const read = async (name: string): Promise<Float32Array> => {
      const values = await baseValues(name);
      const merged = merges.get(name)?.(values) ?? values;
      requireInRange(name, merged, dtype);
      done += 1;
      options.onProgress?.(done, tensors.length);
      return merged;
    };
    const baseValues = async (name: string): Promise<Float32Array> => {
      if (checkpoint.has(name)) return (await checkpoint.read(name)).values;
      if (name === HEAD) return (await checkpoint.read(EMBEDDING)).values;
      return new Float32Array(tensors.find((tensor) => tensor.name === name)?.shape[0] ?? 0);
    };
    const weights = await writeShards(work, tensors, { dtype: CODES[dtype], shardBytes: options.shardBytes, read });
    await rmdir(options.folder).catch(() => undefined);
    await rename(work, options.folder);
    const weightBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor, CODES[dtype]), 0);
    return { files: [...companions, ...weights], dtype, weightBytes, changedTensors: merges.size, untied: changes.untied };
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

async function requireEmpty(folder: string): Promise<void> {
  const entries = await readdir(folder).catch(async () => ((await stat(folder).catch(() => null)) === null ? [] : ['']));
  if (entries.length > 0) throw new AppError('usage', `${folder} holds something already; name a folder that is empty or not there`);
}

function dtypeOf(config: Readonly<Record<string, unknown>>): BakedDtype {
  const named = config['dtype'] ?? config['torch_dtype'];
  return named === 'float16' || named === 'bfloat16' ? named : 'float32';
}

/** What stands in the checkpoint: the base's tensors, a head of its own where it was untied, and biases where the adapter brings some. */
function planTensors(
  { description, config }: ModelPackage,
  changed: Iterable<string>,
  dtype: BakedDtype,
): { readonly tensors: readonly PlannedTensor[]; readonly changes: BakedChanges } {
  const names = new Set(changed);
  const present = new Set(description.tensors.map(({ name }) => name));
  const untied = description.tiedHead && (names.has(HEAD) || names.has(EMBEDDING));
  const added = [...names].filter((name) => name.endsWith('.bias') && !present.has(name));
  const isAttention = (name: string): boolean => name.includes('.self_attn.');
  const isMlp = (name: string): boolean => name.includes('.mlp.');
  const foreign = added.find((name) => !isAttention(name) && !isMlp(name));
  if (foreign !== undefined || (added.length > 0 && config.slidingWindow !== null)) {
    const message = `the adapter adds ${foreign ?? added[0]}, which a checkpoint of this architecture has no place for`;
    throw new AppError('unsupported_adapter', message);
  }
  const [attentionBias, mlpBias] = [added.some(isAttention), added.some(isMlp)];
  // A Llama config has biases at all projections of a kind or at none.
  const biased = description.sites.filter(
    ({ module }) => (attentionBias && isAttention(`.${module}.`)) || (mlpBias && isMlp(`.${module}.`)),
  );
  const biases = biased.map(({ module, outFeatures }: AdapterSite) => ({ name: `${module}.bias`, shape: [outFeatures] }));
  const head = { name: HEAD, shape: [description.vocabularySize, description.hiddenSize] };
  const tensors = [
    ...description.tensors.map(({ name, shape }) => ({ name, shape })),
    ...biases.filter(({ name }) => !present.has(name)),
    ...(untied ? [head] : []),
  ];
  return { tensors, changes: { dtype, untied, attentionBias, mlpBias } };
}

function requireInRange(name: string, values: Float32Array, dtype: BakedDtype): void {
  const largest = dtype === 'float16' ? LARGEST_FLOAT16 : Number.MAX_VALUE;
  if (values.every((value) => Math.abs(value) <= largest)) return;
  throw new AppError('unsupported_adapter', `merged, ${name} has a value that is too large for ${dtype}; take bfloat16 or float32`);
}

interface Writing {
  readonly dtype: SafetensorsTensor['dtype'];
  readonly shardBytes: number;
  readonly read: (name: string) => Promise<Float32Array>;
}

/** One model.safetensors, or shards with the index that transformers reads. Answers the names of the files. */
async function writeShards(
  folder: string,
  tensors: readonly PlannedTensor[],
  { dtype, shardBytes, read }: Writing,
): Promise<readonly string[]> {
  const shards: PlannedTensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor, dtype);
    if (filled > 0 && filled + bytes > shardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)?.push(tensor);
    filled += bytes;
  }
  const numbered = (number: number): string => String(number).padStart(5, '0');
  const nameOf = (index: number): string =>
    shards.length === 1 ? 'model.safetensors' : `model-${numbered(index + 1)}-of-${numbered(shards.length)}.safetensors`;
  for (const [index, shard] of shards.entries()) await writeSafetensorsFile(join(folder, nameOf(index)), dtype, shard, read);
  const names = shards.map((_, index) => nameOf(index));
  if (shards.length === 1) return names;
  const weightMap = shards.flatMap((shard, index) => shard.map(({ name }) => [name, nameOf(index)] as const));
  const totalSize = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor, dtype), 0);
  const json = { metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) };
  await writeFile(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(json, null, 2)}\n`);
  return [...names, 'model.safetensors.index.json'];
}
