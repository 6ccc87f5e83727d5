// Which tensor of adapter_model.safetensors plays which part for which module (peft 0.21, utils/save_and_load.py). Knows names only, no shapes.
import { quoted } from '../quoted.ts';
import { invalidAdapter, unsupportedAdapter } from './refusal.ts';

/** Tensor names of one Linear (the head included). Every group with LoRA is complete: A and B are always both there. */
export interface LinearLoraTensors {
  readonly form: 'linear';
  /** Path in the base model, for example `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** lora_A.weight [r, in]. */
  readonly a: string;
  /** lora_B.weight [out, r]. */
  readonly b: string;
  /** lora_B.bias [out]. */
  readonly bias?: string;
  /** lora_magnitude_vector [out]. */
  readonly magnitude?: string;
  /** base_layer.weight [out, in], of the head only. */
  readonly baseWeight?: string;
  /** base_layer.bias [out], as it was trained. */
  readonly baseBias?: string;
}

/** Tensor names of one embedding. */
export interface EmbeddingLoraTensors {
  readonly form: 'embedding';
  readonly module: string;
  /** lora_embedding_A [r, vocabulary]. */
  readonly embeddingA: string;
  /** lora_embedding_B [hidden, r]. */
  readonly embeddingB: string;
  /** lora_magnitude_vector [hidden]. */
  readonly magnitude?: string;
  /** base_layer.weight [vocabulary, hidden]. */
  readonly baseWeight?: string;
}

/** A module without LoRA of which the base's own tensors were saved along. */
export interface ReplacedTensors {
  readonly form: 'replaced';
  readonly module: string;
  /** weight, of the base's shape. */
  readonly baseWeight?: string;
  /** bias [out]. */
  readonly baseBias?: string;
  /** token_adapter.trainable_tokens_delta [tokens, hidden]: rows of the weight, not differences. Never beside a weight. */
  readonly tokenRows?: string;
}

export type LoraTensors = LinearLoraTensors | EmbeddingLoraTensors;
export type ModuleTensors = LoraTensors | ReplacedTensors;

type Part = 'a' | 'b' | 'bias' | 'magnitude' | 'embeddingA' | 'embeddingB' | 'baseWeight' | 'baseBias' | 'tokenRows';

/** PEFT removes the adapter's name when it saves; some exports keep its usual name, `default`. */
const SUFFIXES: ReadonlyMap<string, Part> = new Map([
  ['lora_A.weight', 'a'],
  ['lora_A.default.weight', 'a'],
  ['lora_B.weight', 'b'],
  ['lora_B.default.weight', 'b'],
  ['lora_B.bias', 'bias'],
  ['lora_B.default.bias', 'bias'],
  ['lora_magnitude_vector', 'magnitude'],
  ['lora_magnitude_vector.weight', 'magnitude'],
  ['lora_magnitude_vector.default', 'magnitude'],
  ['lora_magnitude_vector.default.weight', 'magnitude'],
  ['lora_embedding_A', 'embeddingA'],
  ['lora_embedding_A.default', 'embeddingA'],
  ['lora_embedding_B', 'embeddingB'],
  ['lora_embedding_B.default', 'embeddingB'],
]);

/**
 * Modules whose full weight PEFT saves along: by default when it targets one of them, else when the vocabulary was resized or the user asks
 * for it (EMBEDDING_LAYER_NAMES in peft/utils/constants.py).
 */
const EMBEDDING_LAYER = /^(?:.+\.)?(?:embed_tokens|lm_head)$/;
const BASE_TENSOR = /^(?<module>.+?)(?<wrapped>\.base_layer)?\.(?<part>weight|bias|token_adapter\.trainable_tokens_delta)$/;

const PEFT_PREFIX = 'base_model.model.';
const MODULE_PATH = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const LORA_MARK = '.lora_';

/**
 * Groups tensor names by module, in order of first appearance. The prefix `base_model.model.` may be missing.
 * @throws AppError unsupported_adapter for the base's weight of a Linear with LoRA; invalid_adapter for names that mean nothing, name the
 * same part twice, contradict each other or leave a module incomplete, and when no module has LoRA.
 */
export function groupLoraTensors(names: Iterable<string>): readonly ModuleTensors[] {
  const partsOfModule = new Map<string, Map<Part, string>>();
  for (const name of names) {
    const { module, part } = parseTensorName(name);
    const parts = partsOfModule.get(module) ?? new Map<Part, string>();
    const other = parts.get(part);
    if (other !== undefined)
      throw invalidAdapter(`tensors ${quoted(other)} and ${quoted(name)} are the same part of module ${quoted(module)}`);
    parts.set(part, name);
    partsOfModule.set(module, parts);
  }
  if (partsOfModule.size === 0) throw invalidAdapter('the adapter has no tensors');
  const groups = [...partsOfModule].map(([module, parts]) => completeGroup(module, parts));
  if (groups.every((group) => group.form === 'replaced')) throw invalidAdapter('the adapter has no tensors of LoRA, only full weights');
  return groups;
}

function parseTensorName(name: string): { module: string; part: Part } {
  const path = name.startsWith(PEFT_PREFIX) ? name.slice(PEFT_PREFIX.length) : name;
  const { module, part } = splitPath(path) ?? {};
  if (module === undefined || part === undefined) throw refuseName(name);
  if (!MODULE_PATH.test(module)) throw invalidAdapter(`tensor ${quoted(name)}: ${quoted(module)} is not a module path`);
  return { module, part };
}

function splitPath(path: string): { module: string; part: Part | undefined } | undefined {
  const mark = path.lastIndexOf(LORA_MARK);
  if (mark >= 0) return { module: path.slice(0, mark), part: SUFFIXES.get(path.slice(mark + 1)) };
  const { module, wrapped, part } = BASE_TENSOR.exec(path)?.groups ?? {};
  if (module === undefined) return undefined;
  if (part === 'bias') return { module, part: 'baseBias' };
  if (part === 'weight') return wrapped === undefined || isEmbeddingLayer(module) ? { module, part: 'baseWeight' } : undefined;
  return wrapped === undefined ? { module, part: 'tokenRows' } : undefined;
}

/** Of these PEFT saves the base's own weight along, trained or not. */
export function isEmbeddingLayer(module: string): boolean {
  return EMBEDDING_LAYER.test(module);
}

function refuseName(name: string): Error {
  if (name.endsWith('.base_layer.weight')) {
    return unsupportedAdapter(
      `tensor ${quoted(name)} is a full weight of the base model; expected none but copies of embed_tokens and lm_head`,
      name,
    );
  }
  return invalidAdapter(
    `tensor ${quoted(name)} is not one of a LoRA adapter; expected lora_A, lora_B, lora_embedding_A, lora_embedding_B, ` +
      'lora_magnitude_vector, or a weight, bias or token_adapter.trainable_tokens_delta of the base',
    name,
  );
}

function completeGroup(module: string, parts: ReadonlyMap<Part, string>): ModuleTensors {
  const named: Partial<Record<Part, string>> = Object.fromEntries(parts);
  const { a, b, embeddingA, embeddingB, bias, tokenRows, ...others } = named;
  const isReplaced = [...parts.keys()].every((part) => REPLACING.has(part));
  requireReadableBase(module, named, isReplaced);
  if (isReplaced) return { form: 'replaced', module, ...others, ...(tokenRows !== undefined && { tokenRows }) };
  const hasLinear = a !== undefined && b !== undefined;
  const hasEmbedding = embeddingA !== undefined && embeddingB !== undefined;
  if ((a ?? b ?? bias) !== undefined && (embeddingA ?? embeddingB) !== undefined)
    throw invalidAdapter(`module ${quoted(module)} has tensors of a Linear and of an embedding`);
  if (hasLinear) return { form: 'linear', module, ...others, a, b, ...(bias !== undefined && { bias }) };
  if (hasEmbedding && others.baseBias === undefined) return { form: 'embedding', module, ...others, embeddingA, embeddingB };
  const present = [...parts.values()].map((name) => quoted(name)).join(', ');
  throw invalidAdapter(`module ${quoted(module)} is incomplete: it has only ${present}; expected A and B`);
}

const REPLACING: ReadonlySet<Part> = new Set(['baseWeight', 'baseBias', 'tokenRows']);

/** PEFT reads the base's bias under a name that tells whether there is LoRA, and rows only where nothing else is. */
function requireReadableBase(
  module: string,
  { baseWeight, baseBias, tokenRows }: Partial<Record<Part, string>>,
  isReplaced: boolean,
): void {
  if (tokenRows !== undefined && (!isReplaced || baseWeight !== undefined))
    throw invalidAdapter(`module ${quoted(module)} has single rows (trainable_token_indices) beside LoRA or a full weight`);
  if (baseBias !== undefined && baseBias.includes('.base_layer.') === isReplaced)
    throw invalidAdapter(`tensor ${quoted(baseBias)}: PEFT reads ${isReplaced ? 'bias' : 'base_layer.bias'} for this module`, baseBias);
}
