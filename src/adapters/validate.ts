// Checks an uploaded PEFT adapter against the loaded base: every tensor has its place, its shape and finite values, or the file is refused.
import { AppError } from '../core/index.ts';
import {
  FormatError,
  groupLoraTensors,
  parseAdapterConfig,
  readSafetensors,
  requireTensorsMatchConfig,
  resolveScale,
  type LoraTensors,
  type ModuleTensors,
  type PeftLoraConfig,
  type SafetensorsFile,
  type SafetensorsTensor,
} from '../formats/index.ts';
import type { AdapterSite, BaseModelDescription } from '../models/index.ts';
import { finiteValues, requireShape, shownShape } from './checked-tensor.ts';
import type { LoraSite } from './lora-site.ts';
import { planReplacedParts, type ReplacedPart } from './replaced-parts.ts';

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
  /** Tensors of the base itself that stand in the file. */
  readonly replaced: readonly ReplacedPart[];
  /** Last components of the changed modules, sorted. */
  readonly targetModules: readonly string[];
}

export interface ValidatedSite extends SitePlan {
  /**
   * Reads this site's values.
   * @throws AppError `invalid_adapter` when one is NaN or infinite.
   */
  read(): LoraSite;
}

interface SitePlan {
  readonly site: AdapterSite;
  readonly rank: number;
  readonly scale: number;
  /** As LoraSite's arrays; shapes are checked, values are not. */
  readonly tensors: {
    readonly a: SafetensorsTensor;
    readonly b: SafetensorsTensor;
    readonly magnitude: SafetensorsTensor | undefined;
    readonly bias: SafetensorsTensor | undefined;
  };
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
    return group === undefined || group.form === 'replaced' ? [] : [planSite(site, group, tensors, config)];
  });
  for (const { rank, site } of plans) {
    if (rank > maxRank) {
      throw new AppError('unsupported_adapter', `module "${site.module}" has rank ${rank}, this server allows at most ${maxRank}`);
    }
  }
  const replaced = planReplacedParts({ config, groups: groupOfModule, tensors, base });
  const changed = [...plans.map(({ site }) => site.module), ...replaced.flatMap(changedModules)];
  return {
    sites: plans.map((plan) => ({ ...plan, read: () => readSite(plan) })),
    replaced,
    targetModules: [...new Set(changed.map(lastComponent))].toSorted(),
  };
}

function changedModules(part: ReplacedPart): readonly string[] {
  switch (part.kind) {
    case 'copy':
      return [];
    case 'full':
      return [part.name.replace(/\.(?:weight|bias)$/, '')];
    case 'bias':
      return [part.site.module];
    case 'rows':
      return part.sites.map((site) => site.module);
  }
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
  const sites = new Set(base.sites.map((site) => site.module));
  const replaceable = new Set(base.tensors.map(({ name }) => name.slice(0, name.lastIndexOf('.'))));
  for (const [module, { form }] of groups) {
    if (sites.has(module) || (form === 'replaced' && replaceable.has(module))) continue;
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
    throw new AppError('invalid_adapter', `tensor ${JSON.stringify(a.name)} has shape ${shownShape(a.shape)}: its rank must be above 0`);
  requireShape(a, [rank, site.inFeatures]);
  requireShape(b, [site.outFeatures, rank]);
  if (magnitude !== undefined) requireShape(magnitude, [site.outFeatures]);
  if (bias !== undefined) requireShape(bias, [site.outFeatures]);
  return { site, rank, scale: resolveScale(config, site.module, rank), tensors: { a, b, magnitude, bias } };
}

function grouped(name: string, tensors: SafetensorsFile['tensors']): SafetensorsTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`validate: tensor ${name} was grouped but is not there`);
  return tensor;
}

function readSite({ site, rank, scale, tensors }: SitePlan): LoraSite {
  const { a, b, magnitude, bias } = tensors;
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

function lastComponent(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1);
}
