// Checks an uploaded PEFT adapter against the loaded base: every tensor has its place, its shape and finite values, or the file is refused.
import { AppError } from '../core/index.ts';
import {
  findNonFinite,
  FormatError,
  groupLoraTensors,
  parseAdapterConfig,
  readSafetensors,
  requireTensorsMatchConfig,
  resolveScale,
  tensorToFloat32,
  type LoraTensors,
  type ModuleTensors,
  type PeftLoraConfig,
  type SafetensorsFile,
  type SafetensorsTensor,
} from '../formats/index.ts';
import type { AdapterSite, BaseModelDescription } from '../models/index.ts';
import type { BaseCopy } from './base-copy.ts';
import type { LoraSite } from './lora-site.ts';

export interface AdapterFiles {
  /** adapter_config.json */
  readonly config: Uint8Array;
  /** adapter_model.safetensors */
  readonly tensors: Uint8Array;
}

/** An adapter that fits the base; only its values are still unread. */
export interface ValidatedAdapter {
  /** In the order of the base's description; at least one. */
  readonly sites: readonly ValidatedSite[];
  /** Full weights in the file that are still to be compared with the base's. */
  readonly baseCopies: readonly BaseCopy[];
  /** Largest rank over the sites. */
  readonly rank: number;
  /** Last components of the changed modules, sorted. */
  readonly targetModules: readonly string[];
}

export interface ValidatedSite {
  readonly site: AdapterSite;
  /**
   * Reads this site's values.
   * @throws AppError `invalid_adapter` when one is NaN or infinite.
   */
  read(): LoraSite;
}

/** A tensor that was found and has the right shape. */
interface SitePlan {
  readonly site: AdapterSite;
  readonly rank: number;
  readonly scale: number;
  readonly a: SafetensorsTensor;
  readonly b: SafetensorsTensor;
  readonly magnitude: SafetensorsTensor | undefined;
  readonly bias: SafetensorsTensor | undefined;
}

/**
 * Ranks come from tensor shapes and must agree with the configuration.
 * @throws AppError `invalid_adapter` or `unsupported_adapter`, naming what is wrong.
 */
export function validateAdapter(files: AdapterFiles, base: BaseModelDescription, maxRank: number): ValidatedAdapter {
  const config = parseAdapterConfig(decodeText(files.config));
  const { tensors } = readTensors(files.tensors);
  const groups = groupLoraTensors(tensors.keys());
  requireTensorsMatchConfig(config, groups);
  const groupOfModule = new Map(groups.map((group) => [group.module, group]));
  requireKnownModules(groupOfModule, base);
  const plans = base.sites.flatMap((site) => {
    const group = groupOfModule.get(site.module);
    return group === undefined || group.form === 'base-weight' ? [] : [planSite(site, group, tensors, config)];
  });
  for (const { rank, site } of plans) {
    if (rank > maxRank) {
      throw new AppError('unsupported_adapter', `module "${site.module}" has rank ${rank}, this server allows at most ${maxRank}`);
    }
  }
  return {
    sites: plans.map((plan) => ({ site: plan.site, read: () => readSite(plan) })),
    baseCopies: base.sites.flatMap((site) => baseCopyOf(site, groupOfModule.get(site.module)?.baseWeight, tensors)),
    rank: Math.max(...plans.map((plan) => plan.rank)),
    targetModules: [...new Set(plans.map(({ site }) => lastComponent(site.module)))].toSorted(),
  };
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new AppError('invalid_adapter', 'adapter_config.json is not UTF-8 text', { cause: error });
  }
}

function readTensors(bytes: Uint8Array): SafetensorsFile {
  if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') === 'PK\u0003\u0004') {
    throw new AppError(
      'unsupported_adapter',
      'adapter_model.safetensors is a zip archive, as torch.save writes it; pickles are never loaded: save the adapter with safe_serialization=True',
    );
  }
  try {
    return readSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new AppError('invalid_adapter', `adapter_model.safetensors: ${error.message}`, { cause: error });
  }
}

function requireKnownModules(groups: ReadonlyMap<string, ModuleTensors>, base: BaseModelDescription): void {
  const known = new Set(base.sites.map((site) => site.module));
  for (const module of groups.keys()) {
    if (known.has(module)) continue;
    const adaptable = [...new Set(base.sites.map((site) => lastComponent(site.module)))].join(', ');
    throw new AppError(
      'invalid_adapter',
      `module ${JSON.stringify(module)} is not in base ${base.id} (${base.layerCount} layers) or cannot be adapted; its adaptable modules are ${adaptable}`,
    );
  }
}

function planSite(site: AdapterSite, group: LoraTensors, tensors: SafetensorsFile['tensors'], config: PeftLoraConfig): SitePlan {
  const expectedForm = site.kind === 'embedding' ? 'embedding' : 'linear';
  if (group.form !== expectedForm) {
    throw new AppError(
      'invalid_adapter',
      `module "${site.module}" is of form ${expectedForm}, its tensors are those of form ${group.form}`,
    );
  }
  const find = (name: string): SafetensorsTensor => grouped(name, tensors);
  const a = find(group.form === 'linear' ? group.a : group.embeddingA);
  const b = find(group.form === 'linear' ? group.b : group.embeddingB);
  const magnitude = group.magnitude === undefined ? undefined : find(group.magnitude);
  const bias = group.form === 'linear' && group.bias !== undefined ? find(group.bias) : undefined;
  const rank = a.shape[0] ?? 0;
  if (rank < 1)
    throw new AppError('invalid_adapter', `tensor ${JSON.stringify(a.name)} has shape ${shown(a.shape)}: its rank must be above 0`);
  requireShape(a, [rank, site.inFeatures]);
  requireShape(b, [site.outFeatures, rank]);
  if (magnitude !== undefined) requireShape(magnitude, [site.outFeatures]);
  if (bias !== undefined) requireShape(bias, [site.outFeatures]);
  return { site, rank, scale: resolveScale(config, site.module, rank), a, b, magnitude, bias };
}

function baseCopyOf(site: AdapterSite, name: string | undefined, tensors: SafetensorsFile['tensors']): readonly BaseCopy[] {
  if (name === undefined) return [];
  const tensor = grouped(name, tensors);
  const expected = site.kind === 'embedding' ? [site.inFeatures, site.outFeatures] : [site.outFeatures, site.inFeatures];
  if (hasShape(tensor, expected)) return [{ site, tensor }];
  throw new AppError(
    'unsupported_adapter',
    `tensor ${JSON.stringify(name)} is a full weight of shape ${shown(tensor.shape)}, expected a copy of the base's own ${shown(expected)}; ` +
      'an embedding or head of another size (a resized vocabulary) is not supported',
  );
}

function grouped(name: string, tensors: SafetensorsFile['tensors']): SafetensorsTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`validate: tensor ${name} was grouped but is not there`);
  return tensor;
}

function hasShape(tensor: SafetensorsTensor, expected: readonly number[]): boolean {
  return tensor.shape.length === expected.length && tensor.shape.every((size, index) => size === expected[index]);
}

function requireShape(tensor: SafetensorsTensor, expected: readonly number[]): void {
  if (hasShape(tensor, expected)) return;
  throw new AppError(
    'invalid_adapter',
    `tensor ${JSON.stringify(tensor.name)} has shape ${shown(tensor.shape)}, expected ${shown(expected)}`,
  );
}

function readSite({ site, rank, scale, a, b, magnitude, bias }: SitePlan): LoraSite {
  return {
    site,
    rank,
    scale,
    a: finiteValues(a),
    b: finiteValues(b),
    ...(magnitude !== undefined && { magnitude: finiteValues(magnitude) }),
    ...(bias !== undefined && { bias: finiteValues(bias) }),
  };
}

function finiteValues(tensor: SafetensorsTensor): Float32Array {
  const values = tensorToFloat32(tensor);
  const index = findNonFinite(values);
  if (index === undefined) return values;
  throw new AppError(
    'invalid_adapter',
    `tensor ${JSON.stringify(tensor.name)}: value ${index} is ${values[index]}, expected finite numbers`,
  );
}

function lastComponent(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1);
}

function shown(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
