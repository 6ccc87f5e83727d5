// A folder in Hugging Face layout: one model.safetensors, or shards that model.safetensors.index.json lists. The index is not trusted:
// file names are plain, and every tensor must be in exactly the shard that the index names.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileSource } from '../byte-source.ts';
import { FormatError } from '../format-error.ts';
import { isJsonObject, parseStrictJson } from '../json/strict-json.ts';
import { quoted } from '../quoted.ts';
import { decodeUtf8 } from '../utf8.ts';
import { missingTensor, openSafetensorsFile, type SafetensorsReader } from './file.ts';
import { CHECKPOINT_LIMITS, type SafetensorsEntry, type SafetensorsLimits } from './tensor.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';
const FORMAT = 'safetensors index';
const INDEX_BYTES = 64 << 20;
const SHARD_COUNT = 1000;
const PLAIN_SHARD_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.safetensors$/;

/**
 * Opens a folder's weights; `model.safetensors` wins over an index, as in transformers.
 * @throws FormatError when there is neither, or the index is malformed or disagrees with its shards.
 */
export async function openSafetensorsCheckpoint(folder: string, limits: Partial<SafetensorsLimits> = {}): Promise<SafetensorsReader> {
  if (await exists(join(folder, SINGLE_FILE))) return openSafetensorsFile(join(folder, SINGLE_FILE), limits);
  if (!(await exists(join(folder, INDEX_FILE))))
    throw new FormatError('safetensors', `the folder has neither ${SINGLE_FILE} nor ${INDEX_FILE}`);
  const shardOfTensor = parseShardIndex(await readIndex(join(folder, INDEX_FILE)), { ...CHECKPOINT_LIMITS, ...limits });
  const shards = new Map<string, SafetensorsReader>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const fileName of new Set(shardOfTensor.values())) {
      if (!(await exists(join(folder, fileName)))) throw new FormatError(FORMAT, `the shard ${quoted(fileName)} is missing`);
      shards.set(fileName, await openSafetensorsFile(join(folder, fileName), limits));
    }
    return joinShards(shardOfTensor, shards, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The index's map from tensor name to shard file name.
 * @throws FormatError for anything but plain file names and strings.
 */
export function parseShardIndex(bytes: Uint8Array, limits: SafetensorsLimits = CHECKPOINT_LIMITS): ReadonlyMap<string, string> {
  const text = decodeUtf8(bytes);
  if (text === undefined) throw new FormatError(FORMAT, 'is not valid UTF-8');
  const root = parseStrictJson(text, FORMAT, { maxDepth: 8, maxValues: limits.tensorCount + 1000 });
  const weightMap = isJsonObject(root) ? root.get('weight_map') : undefined;
  if (!isJsonObject(weightMap)) throw new FormatError(FORMAT, 'has no "weight_map" object');
  if (weightMap.size === 0) throw new FormatError(FORMAT, '"weight_map" is empty');
  const shardOfTensor = new Map<string, string>();
  for (const [tensor, fileName] of weightMap) {
    if (typeof fileName !== 'string' || !PLAIN_SHARD_NAME.test(fileName)) {
      const came = typeof fileName === 'string' ? quoted(fileName) : 'not a string';
      throw new FormatError(FORMAT, `the file of tensor ${quoted(tensor)} is ${came}; expected a plain name that ends in .safetensors`);
    }
    shardOfTensor.set(tensor, fileName);
  }
  const shardCount = new Set(shardOfTensor.values()).size;
  if (shardCount > SHARD_COUNT) throw new FormatError(FORMAT, `${shardCount} shards, at most ${SHARD_COUNT} are allowed`);
  return shardOfTensor;
}

function joinShards(
  shardOfTensor: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsReader>,
  close: () => Promise<void>,
): SafetensorsReader {
  const tensors = new Map<string, SafetensorsEntry>();
  const metadata = new Map<string, string>();
  for (const [fileName, shard] of shards) {
    for (const [name, entry] of shard.tensors) {
      if (shardOfTensor.get(name) !== fileName) {
        throw new FormatError(FORMAT, `tensor ${quoted(name)} is in ${quoted(fileName)}, but the index does not say so`);
      }
      tensors.set(name, entry);
    }
    for (const [key, value] of shard.metadata) metadata.set(key, value);
  }
  for (const [name, fileName] of shardOfTensor) {
    if (!tensors.has(name)) throw new FormatError(FORMAT, `tensor ${quoted(name)} is not in ${quoted(fileName)}`);
  }
  const shardWith = (name: string): SafetensorsReader => {
    const shard = shards.get(shardOfTensor.get(name) ?? '');
    if (shard === undefined) throw missingTensor(name);
    return shard;
  };
  return {
    metadata,
    tensors,
    readTensor: async (name) => shardWith(name).readTensor(name),
    readFloat32: async (name) => shardWith(name).readFloat32(name),
    close,
  };
}

async function readIndex(path: string): Promise<Uint8Array> {
  const source = await fileSource(path, FORMAT);
  try {
    if (source.byteLength > INDEX_BYTES) throw new FormatError(FORMAT, `${source.byteLength} bytes, at most ${INDEX_BYTES} are allowed`);
    return await source.read(0, source.byteLength);
  } finally {
    await source.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
