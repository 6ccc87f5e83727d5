// Configuration against tensors. PEFT drops tensors of modules that the configuration does not target, and starts missing ones afresh;
// either would serve something else than was trained, so a file that contradicts itself is refused.
import { quoted } from '../quoted.ts';
import type { PeftLoraConfig } from './config.ts';
import { CONFIG_FILE, invalidAdapter, unsupportedAdapter } from './refusal.ts';
import { isEmbeddingLayer, type LoraTensors, type ModuleTensors, type ReplacedTensors } from './tensor-names.ts';

const LITERAL_NAME = /^[A-Za-z0-9_.-]+$/;
const ALL_DIGITS = /^[0-9]+$/;

/**
 * @throws AppError invalid_adapter when magnitudes, biases, rows or modules are there that the configuration does not announce, or the
 * reverse; unsupported_adapter when telling needs a regular expression in `layers_pattern`.
 */
export function requireTensorsMatchConfig(config: PeftLoraConfig, groups: readonly ModuleTensors[]): void {
  for (const group of groups) {
    const { module } = group;
    if (group.form === 'replaced') {
      requireAnnounced(config, group);
      continue;
    }
    if (isSavedModule(config, module))
      throw invalidAdapter(`module ${quoted(module)} has LoRA, but is among "modules_to_save" of ${CONFIG_FILE}`, 'modules_to_save');
    if (group.form === 'linear' && group.baseBias !== undefined && config.bias === 'none') throw unannouncedBias(config, module);
    requirePart(module, 'lora_magnitude_vector', group.magnitude !== undefined, 'use_dora', config.useDora);
    if (group.form === 'linear') requirePart(module, 'lora_B.bias', group.bias !== undefined, 'lora_bias', config.loraBias);
    else if (config.loraBias)
      throw invalidAdapter(`module ${quoted(module)}: PEFT does not allow "lora_bias" with an embedding`, 'lora_bias');
    requireTargeted(config, group);
  }
  for (const name of config.modulesToSave) {
    if (groups.some((group) => group.baseWeight !== undefined && group.module.endsWith(name))) continue;
    throw invalidAdapter(
      `${CONFIG_FILE}: "modules_to_save" has ${quoted(name)}, but no full weight of such a module is there`,
      'modules_to_save',
    );
  }
}

/** Whether `modules_to_save` names it: PEFT takes any path that ends so, also inside a component. */
export function isSavedModule({ modulesToSave }: PeftLoraConfig, module: string): boolean {
  return modulesToSave.some((name) => module.endsWith(name));
}

/** Token ids that the configuration gives for the rows of a module. The empty name is the input embedding's. */
export function tokenIdsOf({ tokenRows }: PeftLoraConfig, module: string): readonly number[] | undefined {
  const isNamed = (name: string): boolean => (name === '' ? module.endsWith('embed_tokens') : module.endsWith(name));
  return tokenRows === null ? undefined : [...tokenRows].find(([name]) => isNamed(name))?.[1];
}

function requireAnnounced(config: PeftLoraConfig, { module, baseWeight, baseBias, tokenRows }: ReplacedTensors): void {
  const isSaved = isSavedModule(config, module);
  if (baseWeight !== undefined && !isSaved && !isEmbeddingLayer(module)) {
    throw invalidAdapter(
      `tensor ${quoted(baseWeight)} is a full weight, but its module is not among "modules_to_save" of ${CONFIG_FILE}`,
      'modules_to_save',
    );
  }
  if (baseBias !== undefined && !isSaved && config.bias !== 'all') throw unannouncedBias(config, module);
  if (tokenRows !== undefined && tokenIdsOf(config, module) === undefined) {
    throw invalidAdapter(
      `tensor ${quoted(tokenRows)}: "trainable_token_indices" of ${CONFIG_FILE} does not name its module`,
      'trainable_token_indices',
    );
  }
}

function unannouncedBias({ bias }: PeftLoraConfig, module: string): Error {
  return invalidAdapter(`module ${quoted(module)} has a bias of the base, but ${CONFIG_FILE} says "bias": "${bias}"`, 'bias');
}

function requirePart(module: string, part: string, isPresent: boolean, field: string, isAnnounced: boolean): void {
  if (isPresent === isAnnounced) return;
  const problem = isPresent ? `has a tensor ${part}` : `has no tensor ${part}`;
  throw invalidAdapter(`module ${quoted(module)} ${problem}, but ${CONFIG_FILE} says "${field}": ${isAnnounced}`, field);
}

function requireTargeted(config: PeftLoraConfig, { module, form }: LoraTensors): void {
  const { targetModules, excludeModules } = config;
  const isAllLinear = typeof targetModules === 'string' && targetModules.toLowerCase() === 'all-linear';
  const isTargeted = isAllLinear ? form === 'linear' : !Array.isArray(targetModules) || namesModule(targetModules, module);
  if (!isTargeted)
    throw invalidAdapter(`module ${quoted(module)} has tensors, but is not among "target_modules" of ${CONFIG_FILE}`, 'target_modules');
  if (Array.isArray(excludeModules) && namesModule(excludeModules, module)) {
    throw invalidAdapter(`module ${quoted(module)} has tensors, but is among "exclude_modules" of ${CONFIG_FILE}`, 'exclude_modules');
  }
  requireTransformedLayer(config, module);
}

/** PEFT: equal to a name, or ending with a dot and the name. */
function namesModule(names: readonly string[], module: string): boolean {
  return names.some((name) => module === name || module.endsWith(`.${name}`));
}

function requireTransformedLayer({ layersToTransform, layersPattern }: PeftLoraConfig, module: string): void {
  if (layersToTransform === null) return;
  for (const pattern of layersPattern) {
    if (!LITERAL_NAME.test(pattern)) {
      throw unsupportedAdapter(
        `${CONFIG_FILE}: "layers_pattern" ${quoted(pattern)} needs a regular expression, which is not supported`,
        'layers_pattern',
      );
    }
  }
  const layer = layerIndexOf(module, layersPattern);
  if (layer === undefined || !layersToTransform.includes(layer)) {
    throw invalidAdapter(
      `module ${quoted(module)} has tensors, but its layer is not among "layers_to_transform" of ${CONFIG_FILE}`,
      'layers_to_transform',
    );
  }
}

/** The first number in the path that follows a name of the layer list; without names, that follows at least two components (tuners_utils.py). */
function layerIndexOf(module: string, layersPattern: readonly string[]): number | undefined {
  const parts = module.split('.');
  for (let index = 1; index < parts.length - 1; index += 1) {
    const part = parts[index] ?? '';
    if (!ALL_DIGITS.test(part)) continue;
    const before = parts.slice(0, index).join('.');
    const follows = layersPattern.length === 0 ? index >= 2 : namesModule(layersPattern, before);
    if (follows) return Number(part);
  }
  return undefined;
}
