// Which places of the base a job trains, with rank and scale: PEFT's target_modules and rank_pattern over the base's description.
import { AppError } from '../../core/index.ts';
import type { AdapterSite, BaseModelDescription } from '../../models/index.ts';
import type { LoraSpec } from '../hyperparameters.ts';

export interface TargetSite {
  readonly site: AdapterSite;
  readonly rank: number;
  /** s of y = Wx + s·B(Ax). */
  readonly scale: number;
}

/** Every linear of the layers, as PEFT's `all-linear`: the head is none of them. */
const ALL_LINEAR = 'all-linear';

/**
 * In the order of evaluation.
 * @throws AppError `invalid_request` for a target or a pattern that names no module.
 */
export function resolveSites(lora: LoraSpec, base: BaseModelDescription): readonly TargetSite[] {
  const names = new Set(lora.targetModules);
  const known = new Set(base.sites.map(({ module }) => lastComponent(module)));
  const unknown = [...names].filter((name) => name !== ALL_LINEAR && !known.has(name));
  if (unknown.length > 0 || names.size === 0) {
    const got = unknown.length > 0 ? `got "${unknown.join('", "')}"` : 'got no module';
    const message = `lora.target_modules: ${got}, expected some of ${[...known].join(', ')}, or all-linear`;
    throw new AppError('invalid_request', message, { param: 'lora.target_modules' });
  }
  const sites = base.sites.filter(({ module, kind }) => names.has(lastComponent(module)) || (kind === 'linear' && names.has(ALL_LINEAR)));
  const patterns = Object.entries(lora.rankPattern);
  for (const [key] of patterns) {
    if (sites.some(({ module }) => matches(module, key))) continue;
    const message = `lora.rank_pattern: got "${key}", expected the end of a trained module's path, for example ${sites[0]?.module}`;
    throw new AppError('invalid_request', message, { param: 'lora.rank_pattern' });
  }
  return sites.map((site) => {
    const rank = patterns.find(([key]) => matches(site.module, key))?.[1] ?? lora.r;
    return { site, rank, scale: lora.alpha / (lora.useRslora ? Math.sqrt(rank) : rank) };
  });
}

/** Last components of the trained modules, sorted: what adapter_config.json lists. */
export function targetModuleNames(sites: readonly TargetSite[]): readonly string[] {
  return [...new Set(sites.map(({ site }) => lastComponent(site.module)))].toSorted();
}

function matches(module: string, suffix: string): boolean {
  return module === suffix || module.endsWith(`.${suffix}`);
}

function lastComponent(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1);
}
