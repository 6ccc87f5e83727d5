// An adapter to continue from → values for every trained place. It must be of the job's own shape: another is refused, never cut or filled up.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../../core/index.ts';
import {
  findNonFinite,
  FormatError,
  groupLoraTensors,
  type LoraTensors,
  type ModuleTensors,
  parseAdapterConfig,
  type PeftLoraConfig,
  readSafetensors,
  requireTensorsMatchConfig,
  resolveScale,
  type SafetensorsFile,
  tensorToFloat32,
} from '../../../formats/index.ts';
import type { LoraSpec } from '../../hyperparameters.ts';
import type { TargetSite } from '../sites.ts';
import type { SiteValues } from './trained-site.ts';

/** Relative: alpha / √r in two orders of rounding. */
const SAME_SCALE = 1e-9;

/**
 * @param folder holds adapter_config.json and adapter_model.safetensors.
 * @returns in the order of `targets`.
 * @throws AppError `invalid_adapter` for broken files, `unsupported_adapter` for parts that training does not know, `invalid_request` where adapter and
 * hyperparameters differ; the message names both.
 */
export async function readAdapter(folder: string, lora: LoraSpec, targets: readonly TargetSite[]): Promise<readonly SiteValues[]> {
  const config = parseAdapterConfig(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
  const file = readTensors(await readFile(join(folder, 'adapter_model.safetensors')));
  const groups = groupLoraTensors(file.tensors.keys());
  requireTensorsMatchConfig(config, groups);
  const byModule = new Map(groups.map((group) => [group.module, requirePlain(group)]));
  requireSameShape(config, lora, byModule, targets);
  return targets.map((target) => {
    const group = byModule.get(target.site.module);
    if (group === undefined) throw new Error(`no tensors of ${target.site.module}`);
    return siteValues(config, file, group, target);
  });
}

function readTensors(bytes: Uint8Array): SafetensorsFile {
  try {
    return readSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new AppError('invalid_adapter', `adapter_model.safetensors: ${error.message}`, { cause: error });
  }
}

function requirePlain(group: ModuleTensors): LoraTensors {
  const extra =
    group.form === 'replaced'
      ? (group.baseWeight ?? group.baseBias ?? group.tokenRows)
      : (group.baseWeight ?? (group.form === 'linear' ? (group.bias ?? group.baseBias) : undefined));
  if (group.form !== 'replaced' && extra === undefined) return group;
  const message = `the adapter to continue from has a tensor "${extra}"; training continues plain LoRA and DoRA only (lora_A, lora_B, lora_magnitude_vector)`;
  throw new AppError('unsupported_adapter', message);
}

function requireSameShape(
  config: PeftLoraConfig,
  lora: LoraSpec,
  groups: ReadonlyMap<string, LoraTensors>,
  targets: readonly TargetSite[],
): void {
  if (config.useDora !== lora.useDora) throw mismatch('lora.use_dora', String(config.useDora), String(lora.useDora));
  if (lora.init === 'pissa' || lora.init === 'lora_ga') throw mismatch('lora.init', 'values of its own', lora.init);
  const wanted = new Set(targets.map(({ site }) => site.module));
  const missing = [...wanted].filter((module) => !groups.has(module));
  const surplus = [...groups.keys()].filter((module) => !wanted.has(module));
  if (missing.length > 0) throw mismatch('lora.target_modules', `no ${missing[0]}`, lora.targetModules.join(', '));
  if (surplus.length > 0) throw mismatch('lora.target_modules', `${surplus[0]}`, lora.targetModules.join(', '));
}

function siteValues(config: PeftLoraConfig, file: SafetensorsFile, group: LoraTensors, target: TargetSite): SiteValues {
  const { site, rank, scale } = target;
  if ((group.form === 'embedding') !== (site.kind === 'embedding'))
    throw new AppError('invalid_adapter', `module "${site.module}" is of kind ${site.kind}, but its tensors are of another`);
  const [nameA, nameB] = group.form === 'embedding' ? [group.embeddingA, group.embeddingB] : [group.a, group.b];
  const rankThere = file.tensors.get(nameA)?.shape[0] ?? 0;
  if (rankThere !== rank) throw mismatch('lora.r', `rank ${rankThere} in ${site.module}`, String(rank));
  const scaleThere = resolveScale(config, site.module, rankThere);
  if (Math.abs(scaleThere - scale) > SAME_SCALE * Math.abs(scale)) {
    throw mismatch('lora.alpha', `the scale ${scaleThere} (alpha ${config.alpha}) in ${site.module}`, `the scale ${scale}`);
  }
  return {
    target,
    a: valuesOf(file, nameA, [rank, site.inFeatures]),
    b: valuesOf(file, nameB, [site.outFeatures, rank]),
    magnitude: group.magnitude === undefined ? null : valuesOf(file, group.magnitude, [site.outFeatures]),
  };
}

function valuesOf(file: SafetensorsFile, name: string, shape: readonly number[]): Float32Array {
  const tensor = file.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  if (tensor.shape.join() !== shape.join())
    throw new AppError('invalid_adapter', `tensor "${name}" has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`);
  const values = tensorToFloat32(tensor);
  const broken = findNonFinite(values);
  if (broken !== undefined) throw new AppError('invalid_adapter', `tensor "${name}": value ${broken} is not a finite number`);
  return values;
}

function mismatch(param: string, there: string, wanted: string): AppError {
  return new AppError('invalid_request', `${param}: the adapter to continue from has ${there}, the hyperparameters say ${wanted}`, {
    param,
  });
}
