// PEFT's adapter_config.json as data. What the file asks for is understood, harmless, or refused by name: nothing is ignored that
// would change a result. Field names, defaults and rules: peft 0.21, tuners/lora/config.py and config.py.
import { AppError } from '../../core/index.ts';
import { FormatError } from '../format-error.ts';
import { shownJson } from '../json/shown-json.ts';
import { isJsonObject, parseStrictJson, type JsonObject, type JsonValue } from '../json/strict-json.ts';
import {
  booleanField,
  isFalsy,
  layerIndexesField,
  listField,
  numberField,
  rankField,
  requireNumber,
  requireRank,
  stringField,
  stringOrListField,
  tokenRowsField,
  type TokenRows,
} from './config-fields.ts';
import { patternField, type ModulePattern } from './patterns.ts';
import { CONFIG_FILE, invalidAdapter, invalidField, unsupportedAdapter, unsupportedField } from './refusal.ts';

export interface PeftLoraConfig {
  /** `r`, for modules that no key of rankPattern matches. */
  readonly rank: number;
  /** `lora_alpha`, for modules that no key of alphaPattern matches. */
  readonly alpha: number;
  readonly rankPattern: ModulePattern;
  readonly alphaPattern: ModulePattern;
  /** Scale alpha / sqrt(r) instead of alpha / r. */
  readonly useRslora: boolean;
  readonly useDora: boolean;
  /** lora_B has a bias, which is scaled too. */
  readonly loraBias: boolean;
  /** Which biases of the base were trained and stand in the file: none, every one, or those of modules with LoRA. */
  readonly bias: 'none' | 'all' | 'lora_only';
  /** Ends of the paths of modules whose full weights stand in the file. */
  readonly modulesToSave: readonly string[];
  /** `trainable_token_indices`: rows of the embedding (and head) that stand in the file; null: none. */
  readonly tokenRows: TokenRows | null;
  /** Module names, `all-linear`, or an expression that is kept as a label and never compiled. */
  readonly targetModules: readonly string[] | string | null;
  readonly excludeModules: readonly string[] | string | null;
  /** null: all layers. */
  readonly layersToTransform: readonly number[] | null;
  /** Names of the layer list; empty: any. */
  readonly layersPattern: readonly string[];
  /** `base_model_name_or_path`: a label, never a path. */
  readonly baseModelLabel: string | null;
  readonly peftVersion: string | null;
}

const MAX_CONFIG_CHARACTERS = 256 << 10;
const MAX_FIELDS = 1000;

/** Read below, or without any effect on inference. */
const ACCEPTED_FIELDS: ReadonlySet<string> = new Set([
  'peft_type',
  'r',
  'lora_alpha',
  'rank_pattern',
  'alpha_pattern',
  'use_rslora',
  'use_dora',
  'lora_bias',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'base_model_name_or_path',
  'peft_version',
  'init_lora_weights',
  'bias',
  'modules_to_save',
  'trainable_token_indices',
  // It says how Conv1D stores its weight. PEFT sets it back for a Linear and never reads it for an embedding.
  'fan_in_fan_out',
  'auto_mapping',
  'task_type',
  'inference_mode',
  'revision',
  'lora_dropout',
  'megatron_core',
  'qalora_group_size',
  // Parameters of initialisers; init_lora_weights decides whether the initialiser changed the base.
  'eva_config',
  'corda_config',
  'lora_ga_config',
  'loftq_config',
]);

/** Fields with a better reason than "unknown field". */
const UNSUPPORTED_FIELDS: ReadonlyMap<string, string> = new Map([
  ['target_parameters', 'adapting bare parameters is not supported'],
  ['layer_replication', 'it changes the layers of the base model'],
  ['alora_invocation_tokens', 'activated LoRA is not supported'],
  ['use_qalora', 'QALoRA pools the inputs of lora_A, which is not supported'],
  ['use_bdlora', 'block-diagonal LoRA is not supported'],
  ['arrow_config', 'Arrow routing is not supported'],
  ['kasa_config', 'KaSA changes the weights of the base model'],
  ['monteclora_config', 'MonteCLoRA is not supported'],
  ['velora_config', 'VeLoRA is not supported'],
  ['megatron_config', 'Megatron layers are not supported'],
  ['ensure_weight_tying', 'one adapter for embedding and head together cannot be applied to each of them'],
  ['auto_map', 'code is never loaded from an adapter'],
]);

const PLAIN_INITIALISERS: ReadonlySet<string> = new Set(['gaussian', 'eva', 'orthogonal', 'mica', 'true', 'false']);
const BASE_CHANGING_INITIALISERS = ['pissa', 'olora', 'corda', 'lora_ga', 'loftq'] as const;

/**
 * Understands one adapter_config.json. Fields that old versions of PEFT did not write take its defaults.
 * @throws AppError invalid_adapter when it is malformed, unsupported_adapter when it asks for what this server cannot do as PEFT would.
 */
export function parseAdapterConfig(text: string): PeftLoraConfig {
  const config = parseObject(text);
  requireLoraType(config);
  refuseUnknownFields(config);
  refuseBaseChangingInit(config);
  requireHarmlessAutoMapping(config);
  const parsed: PeftLoraConfig = {
    rank: rankField(config, 'r', 8),
    alpha: numberField(config, 'lora_alpha', 8),
    rankPattern: patternField(config, 'rank_pattern', requireRank),
    alphaPattern: patternField(config, 'alpha_pattern', requireNumber),
    useRslora: booleanField(config, 'use_rslora'),
    useDora: booleanField(config, 'use_dora'),
    loraBias: booleanField(config, 'lora_bias'),
    bias: biasField(config),
    modulesToSave: listField(config, 'modules_to_save'),
    tokenRows: tokenRowsField(config, 'trainable_token_indices'),
    targetModules: stringOrListField(config, 'target_modules'),
    excludeModules: stringOrListField(config, 'exclude_modules'),
    layersToTransform: layerIndexesField(config, 'layers_to_transform'),
    layersPattern: [stringOrListField(config, 'layers_pattern') ?? []].flat().filter((name) => name !== ''),
    baseModelLabel: stringField(config, 'base_model_name_or_path'),
    peftVersion: stringField(config, 'peft_version'),
  };
  booleanField(config, 'fan_in_fan_out');
  requirePeftCombination(config, parsed);
  return parsed;
}

function parseObject(text: string): JsonObject {
  if (text.length > MAX_CONFIG_CHARACTERS) {
    throw invalidAdapter(`${CONFIG_FILE} has ${text.length} characters, at most ${MAX_CONFIG_CHARACTERS} are allowed`);
  }
  let value: JsonValue;
  try {
    value = parseStrictJson(text, CONFIG_FILE, { maxDepth: 16, maxValues: 50_000 });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new AppError('invalid_adapter', error.message, { cause: error });
  }
  if (!isJsonObject(value)) throw invalidAdapter(`${CONFIG_FILE} is not a JSON object`);
  if (value.size > MAX_FIELDS) throw invalidAdapter(`${CONFIG_FILE} has ${value.size} fields, at most ${MAX_FIELDS} are allowed`);
  return value;
}

function requireLoraType(config: JsonObject): void {
  const type = config.get('peft_type') ?? null;
  if (typeof type !== 'string') throw invalidField('peft_type', type, '"LORA"');
  if (type !== 'LORA')
    throw unsupportedAdapter(`${CONFIG_FILE}: "peft_type" = ${shownJson(type)} is not supported; expected "LORA"`, 'peft_type');
}

function refuseUnknownFields(config: JsonObject): void {
  for (const [key, value] of config) {
    if (ACCEPTED_FIELDS.has(key) || isFalsy(value)) continue;
    throw unsupportedField(key, value, UNSUPPORTED_FIELDS.get(key) ?? 'unknown field');
  }
}

function refuseBaseChangingInit(config: JsonObject): void {
  const value = config.get('init_lora_weights') ?? null;
  if (value === null || typeof value === 'boolean') return;
  if (typeof value !== 'string') throw invalidField('init_lora_weights', value, 'true, false or the name of an initialiser');
  const name = value.toLowerCase();
  if (PLAIN_INITIALISERS.has(name)) return;
  if (!BASE_CHANGING_INITIALISERS.some((prefix) => name.startsWith(prefix)))
    throw unsupportedField('init_lora_weights', value, 'unknown initialiser');
  throw unsupportedField(
    'init_lora_weights',
    value,
    'this initialiser changes the base weights; convert the adapter with save_pretrained(..., path_initial_model_for_weight_conversion=...)',
  );
}

function biasField(config: JsonObject): PeftLoraConfig['bias'] {
  const value = config.get('bias') ?? 'none';
  if (value !== 'none' && value !== 'all' && value !== 'lora_only') throw invalidField('bias', value, '"none", "all" or "lora_only"');
  return value;
}

/** PEFT writes the class names of some base models here. It is data that nothing reads, so it must look like that. */
function requireHarmlessAutoMapping(config: JsonObject): void {
  const value = config.get('auto_mapping') ?? null;
  if (value === null) return;
  const isHarmless = isJsonObject(value) && [...value.values()].every((member) => member === null || typeof member === 'string');
  if (!isHarmless) throw invalidField('auto_mapping', value, 'null or an object of strings');
}

/** Combinations that PEFT itself refuses to load. */
function requirePeftCombination(config: JsonObject, parsed: PeftLoraConfig): void {
  const init = config.get('init_lora_weights') ?? true;
  if (parsed.loraBias && parsed.useDora) throw invalidAdapter(`${CONFIG_FILE}: "lora_bias" and "use_dora" exclude each other`, 'lora_bias');
  if (parsed.loraBias && typeof init !== 'boolean')
    throw invalidField('init_lora_weights', init, 'true or false, because "lora_bias" is true');
  if (typeof parsed.targetModules === 'string' && parsed.layersToTransform !== null) {
    throw invalidAdapter(`${CONFIG_FILE}: "layers_to_transform" needs "target_modules" to be a list`, 'layers_to_transform');
  }
  if (parsed.layersPattern.length > 0 && parsed.layersToTransform === null) {
    throw invalidAdapter(`${CONFIG_FILE}: "layers_pattern" needs "layers_to_transform"`, 'layers_pattern');
  }
}
