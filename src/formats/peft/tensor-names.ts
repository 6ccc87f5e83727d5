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

/** An embedding or head without LoRA whose full weight was saved along. */
export interface BaseWeightTensors {
  readonly form: 'base-weight';
  readonly module: string;
  /** weight [vocabulary, hidden]. */
  readonly baseWeight: string;
}

export type LoraTensors = LinearLoraTensors | EmbeddingLoraTensors;
export type ModuleTensors = LoraTensors | BaseWeightTensors;

type Part = 'a' | 'b' | 'bias' | 'magnitude' | 'embeddingA' | 'embeddingB' | 'baseWeight';

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
const EMBEDDING_LAYER = /^(?<module>(?:.+\.)?(?:embed_tokens|lm_head))(?:\.base_layer)?\.weight$/;

const PEFT_PREFIX = 'base_model.model.';
const MODULE_PATH = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const LORA_MARK = '.lora_';

/**
 * Groups tensor names by module, in order of first appearance. The prefix `base_model.model.` may be missing.
 * @throws AppError unsupported_adapter for full weights of other modules than embedding and head; invalid_adapter for names that mean
 * nothing, name the same part twice or leave a module incomplete, and when no module has LoRA.
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
  if (groups.every((group) => group.form === 'base-weight')) throw invalidAdapter('the adapter has no tensors of LoRA, only full weights');
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
  const embedding = EMBEDDING_LAYER.exec(path)?.groups?.['module'];
  return embedding === undefined ? undefined : { module: embedding, part: 'baseWeight' };
}

function refuseName(name: string): Error {
  if (name.includes('.base_layer.')) {
    return unsupportedAdapter(
      `tensor ${quoted(name)} is a full weight of the base model; expected none but copies of embed_tokens and lm_head`,
      name,
    );
  }
  if (!name.includes('lora_') && (name.endsWith('.weight') || name.endsWith('.bias'))) {
    return unsupportedAdapter(`tensor ${quoted(name)} is a full weight (modules_to_save), which is not supported for kind "LORA"`, name);
  }
  return invalidAdapter(
    `tensor ${quoted(name)} is not one of a LoRA adapter; expected lora_A, lora_B, lora_embedding_A, lora_embedding_B or lora_magnitude_vector`,
    name,
  );
}

function completeGroup(module: string, parts: ReadonlyMap<Part, string>): ModuleTensors {
  const [a, b, bias] = [parts.get('a'), parts.get('b'), parts.get('bias')];
  const [embeddingA, embeddingB] = [parts.get('embeddingA'), parts.get('embeddingB')];
  const magnitude = parts.get('magnitude');
  const baseWeight = parts.get('baseWeight');
  if (baseWeight !== undefined && parts.size === 1) return { form: 'base-weight', module, baseWeight };
  const shared = { module, ...(magnitude !== undefined && { magnitude }), ...(baseWeight !== undefined && { baseWeight }) };
  const hasSome = (wanted: readonly Part[]): boolean => wanted.some((part) => parts.has(part));
  if (hasSome(['a', 'b', 'bias']) && hasSome(['embeddingA', 'embeddingB']))
    throw invalidAdapter(`module ${quoted(module)} has tensors of a Linear and of an embedding`);
  if (a !== undefined && b !== undefined) return { form: 'linear', ...shared, a, b, ...(bias !== undefined && { bias }) };
  if (embeddingA !== undefined && embeddingB !== undefined) return { form: 'embedding', ...shared, embeddingA, embeddingB };
  const present = [...parts.values()].map((name) => quoted(name)).join(', ');
  throw invalidAdapter(`module ${quoted(module)} is incomplete: it has only ${present}; expected A and B`);
}
