// A and B of several adapters merged each by itself, site by site: not the merge of what they do (A of one meets B of another), but what LoRAX and
// PEFT do under these names. Only for plain LoRA of one rank; anything else is refused, where LoRAX would drop it.
import { createHash } from 'node:crypto';
import { AppError } from '../../core/index.ts';
import { parseAdapterConfig } from '../../formats/index.ts';
import type { AdapterSite, BaseModelDescription } from '../../models/index.ts';
import type { LoraSite } from '../lora-site.ts';
import { validateAdapter, type AdapterFiles, type ValidatedAdapter, type ValidatedSite } from '../validate.ts';
import { keepMask } from './keep-mask.ts';
import { mergeFactors, type Factor } from './merge-factors.ts';
import type { FactorStrategy } from './mix.ts';

export interface LoraPart {
  readonly files: AdapterFiles;
  readonly weight: number;
  /** For messages, for example `poet@3`. */
  readonly label: string;
}

/**
 * Whose weights and scale.
 * `lorax`: w on A and w on B, and the scale of the part that is named first; DARE does not rescale (server/lorax_server/utils/merges at commit a7394ba).
 * `peft`: the root of |w s| on A and B, its sign on A, and scale 1; DARE rescales (LoraModel.add_weighted_adapter of PEFT 0.21).
 */
export type FactorConvention = 'lorax' | 'peft';

/** @throws AppError `unsupported_adapter` or `invalid_adapter`, naming the part and what of it cannot be merged. */
export function mergeLora(
  parts: readonly LoraPart[],
  strategy: FactorStrategy,
  convention: FactorConvention,
  base: BaseModelDescription,
): readonly LoraSite[] {
  const members = parts.map((part) => openMember(part, base));
  return base.sites.flatMap((site) => {
    const present = members.flatMap((member): Present[] => {
      const found = member.adapter.sites.find((candidate) => candidate.site.id === site.id);
      return found === undefined ? [] : [{ member, site: found }];
    });
    return present.length === 0 ? [] : [mergeSite(site, present, { members, strategy, convention })];
  });
}

interface Member extends LoraPart {
  readonly adapter: ValidatedAdapter;
  /** Identifies the content, for the seed of its masks. */
  readonly digest: string;
}

interface Present {
  readonly member: Member;
  readonly site: ValidatedSite;
}

interface Context {
  readonly members: readonly Member[];
  readonly strategy: FactorStrategy;
  readonly convention: FactorConvention;
}

function openMember(part: LoraPart, base: BaseModelDescription): Member {
  const adapter = validateAdapter(part.files, base, Number.MAX_SAFE_INTEGER);
  const replaced = adapter.replaced.find(({ kind }) => kind !== 'copy');
  const tensors = adapter.sites.map((site) => site.tensors);
  if (replaced !== undefined) throw refusal(part, `tensor ${JSON.stringify(replaced.tensor.name)} of the base's own`);
  if (tensors.some(({ magnitude }) => magnitude !== undefined)) throw refusal(part, 'the magnitudes of DoRA');
  if (tensors.some(({ bias }) => bias !== undefined)) throw refusal(part, 'biases of lora_B');
  return { ...part, adapter, digest: createHash('sha256').update(part.files.tensors).digest('hex') };
}

function refusal({ label }: LoraPart, what: string): AppError {
  const message = `${label} has ${what}: only plain LoRA can be merged factor by factor; mix it by weights alone, like a*0.7,b*0.3`;
  return new AppError('unsupported_adapter', message);
}

function mergeSite(site: AdapterSite, present: readonly Present[], { members, strategy, convention }: Context): LoraSite {
  const [first] = present;
  const [leader] = members;
  if (first === undefined || leader === undefined) throw new Error('merging: a site without parts');
  const { rank } = first.site;
  if (present.some((each) => each.site.rank !== rank)) {
    const ranks = present.map((each) => `${each.member.label} ${each.site.rank}`).join(', ');
    throw new AppError(
      'unsupported_adapter',
      `the adapters have different ranks at ${site.module} (${ranks}), where ${strategy.strategy} merges A with A and B with B; mix them by weights alone, like a*0.7,b*0.3`,
    );
  }
  const factorsOf = (side: 'a' | 'b', name: 'lora_A' | 'lora_B'): readonly Factor[] =>
    present.map(({ member, site: own }) => ({
      values: own.read()[side],
      weight: factorWeight(convention, side, member.weight, own.scale),
      keep: (density) =>
        keepMask(`${member.digest} ${site.module} ${name}`, own.rank * (side === 'a' ? site.inFeatures : site.outFeatures), density),
    }));
  const rescale = convention === 'peft';
  return {
    site,
    rank,
    scale: convention === 'peft' ? 1 : scaleOf(leader, site, rank),
    a: mergeFactors(factorsOf('a', 'lora_A'), strategy, rescale),
    b: mergeFactors(factorsOf('b', 'lora_B'), strategy, rescale),
  };
}

function factorWeight(convention: FactorConvention, side: 'a' | 'b', weight: number, scale: number): number {
  if (convention === 'lorax') return weight;
  const root = Math.sqrt(Math.abs(weight * scale));
  return side === 'a' && weight * scale < 0 ? -root : root;
}

/** Of the part's own site, else what its configuration says for every module that no pattern names. */
function scaleOf({ files, adapter }: Member, site: AdapterSite, rank: number): number {
  const own = adapter.sites.find((candidate) => candidate.site.id === site.id);
  if (own !== undefined) return own.scale;
  const { alpha, useRslora } = parseAdapterConfig(new TextDecoder().decode(files.config));
  return alpha / (useRslora ? Math.sqrt(rank) : rank);
}
