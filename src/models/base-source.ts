// Reads what a base model's source says about itself: configuration, tokenizer, chat template, stop tokens. A source is a GGUF file
// or a folder in Hugging Face layout.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type LlamaConfig, llamaConfigFromGguf, llamaConfigFromHuggingFace } from '../architectures/index.ts';
import { AppError, describeError } from '../core/index.ts';
import { openGguf, openSafetensorsCheckpoint, tensorToFloat32 } from '../formats/index.ts';
import { type TokenizerDefinition, tokenizerFromGguf } from '../text/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { openGgufCheckpoint } from './gguf-checkpoint.ts';

export interface BaseFacts {
  readonly config: LlamaConfig;
  readonly tokenizer: TokenizerDefinition;
  /** Jinja source of the model's own chat template. */
  readonly chatTemplate: string | null;
  readonly stopTokenIds: readonly number[];
}

/** Files of a Hugging Face folder that an import keeps, beside its *.safetensors. */
export const HUGGING_FACE_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'model.safetensors.index.json',
];

/** GGUF's place for the frequency divisors of Llama 3.1's rope scaling. */
const ROPE_DIVISORS = 'rope_freqs.weight';

const JSON_BYTES = 64 << 20;

/** @throws AppError `invalid_request` naming the file and what is wrong with it. */
export async function readBaseFacts(kind: 'gguf' | 'huggingface', path: string): Promise<BaseFacts> {
  return kind === 'gguf' ? readGgufFacts(path) : readFolderFacts(path);
}

export async function openCheckpoint(kind: 'gguf' | 'huggingface', path: string, config: LlamaConfig): Promise<Checkpoint> {
  if (kind === 'gguf') return openGgufCheckpoint(path, config);
  const reader = await openSafetensorsCheckpoint(path);
  return {
    has: (name) => reader.tensors.has(name),
    read: async (name) => {
      const tensor = await reader.readTensor(name);
      return { shape: tensor.shape, values: tensorToFloat32(tensor) };
    },
    close: () => reader.close(),
    [Symbol.asyncDispose]: () => reader.close(),
  };
}

async function readGgufFacts(path: string): Promise<BaseFacts> {
  const file = await openGguf(path);
  try {
    requireWholeFile(file.metadata);
    const ropeDivisors = file.tensors.has(ROPE_DIVISORS) ? await file.readFloat32(ROPE_DIVISORS) : null;
    const config = llamaConfigFromGguf(file.metadata, { names: new Set(file.tensors.keys()), ...(ropeDivisors && { ropeDivisors }) });
    const tokenizer = tokenizerFromGguf(file.metadata);
    const template = file.metadata.get('tokenizer.chat_template');
    const turnEnd = file.metadata.get('tokenizer.ggml.eot_token_id');
    const stopTokenIds = [tokenizer.eosTokenId, ...(typeof turnEnd === 'number' ? [turnEnd] : [])];
    return { config, tokenizer, chatTemplate: typeof template === 'string' ? template : null, stopTokenIds: [...new Set(stopTokenIds)] };
  } finally {
    await file.close();
  }
}

/** llama.cpp can split a model over files; each names their count, and only some of the tensors are in each. */
function requireWholeFile(metadata: ReadonlyMap<string, unknown>): void {
  const partCount = metadata.get('split.count');
  if (typeof partCount !== 'number' || partCount <= 1) return;
  throw new AppError(
    'invalid_request',
    `the GGUF file is one of ${partCount} parts of a split model (split.count), expected a model in one file; join them with llama-gguf-split --merge`,
  );
}

type JsonObject = Readonly<Record<string, unknown>>;

async function readFolderFacts(folder: string): Promise<BaseFacts> {
  const modelConfig = await readJson(folder, 'config.json');
  const tokenizerJson = await readJson(folder, 'tokenizer.json');
  const tokenizerConfig = await readJson(folder, 'tokenizer_config.json', {});
  const generation = await readJson(folder, 'generation_config.json', {});
  const config = llamaConfigFromHuggingFace(modelConfig);
  const stopTokenIds = idList(generation['eos_token_id'] ?? modelConfig['eos_token_id']);
  const eosTokenId = stopTokenIds[0] ?? tokenId(tokenizerJson, tokenizerConfig['eos_token']);
  if (eosTokenId === undefined)
    throw new AppError(
      'invalid_request',
      'neither generation_config.json, config.json nor tokenizer_config.json names an end-of-sequence token',
    );
  const bosTokenId = idList(modelConfig['bos_token_id'])[0] ?? tokenId(tokenizerJson, tokenizerConfig['bos_token']) ?? null;
  const declared = tokenizerConfig['add_bos_token'];
  const addBos = bosTokenId !== null && (typeof declared === 'boolean' ? declared : prependsToken(tokenizerJson, bosTokenId));
  const tokenizer: TokenizerDefinition = { tokenizerJson, eosTokenId, bosTokenId, addBos };
  const chatTemplate = await readChatTemplate(folder, tokenizerConfig);
  return { config, tokenizer, chatTemplate, stopTokenIds: stopTokenIds.length > 0 ? stopTokenIds : [eosTokenId] };
}

/** Newer checkpoints keep the template in a file of its own; older ones in tokenizer_config.json, as text or as a list of named ones. */
async function readChatTemplate(folder: string, tokenizerConfig: JsonObject): Promise<string | null> {
  const file = await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => null);
  if (file !== null) return file;
  const inline = tokenizerConfig['chat_template'];
  if (typeof inline === 'string') return inline;
  if (!Array.isArray(inline)) return null;
  const named: unknown = inline.find((entry: unknown) => isObject(entry) && entry['name'] === 'default');
  return isObject(named) && typeof named['template'] === 'string' ? named['template'] : null;
}

async function readJson(folder: string, name: string, fallback?: JsonObject): Promise<JsonObject> {
  const path = join(folder, name);
  const size = await stat(path).then(
    (entry) => entry.size,
    () => null,
  );
  if (size === null) {
    if (fallback) return fallback;
    throw new AppError('invalid_request', `the model folder has no ${name}`);
  }
  if (size > JSON_BYTES) throw new AppError('invalid_request', `${name} has ${size} bytes, at most ${JSON_BYTES} are allowed`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new AppError('invalid_request', `${name} is not valid JSON: ${describeError(cause)}`, { cause });
  }
  if (!isObject(value)) throw new AppError('invalid_request', `${name} must hold a JSON object`);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function idList(value: unknown): readonly number[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((entry): entry is number => Number.isSafeInteger(entry) && (entry as number) >= 0);
}

/** Id of a special token that tokenizer_config.json gives by content, as text or as an AddedToken record. */
function tokenId(tokenizerJson: JsonObject, token: unknown): number | undefined {
  const content = isObject(token) ? token['content'] : token;
  const added = tokenizerJson['added_tokens'];
  if (typeof content !== 'string' || !Array.isArray(added)) return undefined;
  const found: unknown = added.find((entry: unknown) => isObject(entry) && entry['content'] === content);
  return isObject(found) && typeof found['id'] === 'number' ? found['id'] : undefined;
}

/** Whether tokenizer.json's own post-processor begins a single text with the token. */
function prependsToken(tokenizerJson: JsonObject, id: number): boolean {
  const processor = tokenizerJson['post_processor'];
  if (!isObject(processor)) return false;
  const steps: readonly unknown[] =
    processor['type'] === 'Sequence' && Array.isArray(processor['processors']) ? processor['processors'] : [processor];
  return steps.some((step) => {
    if (!isObject(step) || step['type'] !== 'TemplateProcessing' || !Array.isArray(step['single'])) return false;
    const single: readonly unknown[] = step['single'];
    const [first] = single;
    const special = isObject(first) ? first['SpecialToken'] : undefined;
    return isObject(special) && tokenId(tokenizerJson, special['id']) === id;
  });
}
