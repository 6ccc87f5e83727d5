// One upload from PEFT's two files to the packed file that the engine reads. Takes turns with the event loop.
import type { Clock } from '../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../models/index.ts';
import { createTurns } from './event-loop-turns.ts';
import { packReplacedParts } from './pack-replaced.ts';
import { packSite } from './pack-site.ts';
import { encodePacked, type PackedSiteContent } from './packed.ts';
import { validateAdapter, type AdapterFiles } from './validate.ts';

export interface PackingContext {
  readonly base: BaseModelDescription;
  readonly weights: BaseWeights;
  /** Largest rank of a site. */
  readonly maxRank: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** `lora-full`: LoRA with whole tensors of the base beside it, which only a merged model can hold. */
export type AdapterKind = 'lora' | 'lora-full';

export interface PackedUpload {
  readonly bytes: Uint8Array;
  readonly kind: AdapterKind;
  readonly rank: number;
  readonly targetModules: readonly string[];
}

/** @throws AppError `invalid_adapter` or `unsupported_adapter`, naming what is wrong. */
export async function packAdapter(files: AdapterFiles, context: PackingContext): Promise<PackedUpload> {
  const { base, weights, maxRank } = context;
  const turns = createTurns(context.clock);
  const { sites, replaced, targetModules } = validateAdapter(files, base, maxRank);
  const packed: PackedSiteContent[] = [];
  for (const site of sites) {
    await turns();
    packed.push(await packSite(site.read(), (module) => weights.readWeight(module), turns));
  }
  const replacements = await packReplacedParts(replaced, { base, weights, maxRank, turns });
  const united = uniteBySite([...packed, ...replacements.sites]);
  return {
    bytes: encodePacked(base.digest, united, replacements.full),
    kind: replacements.full.length > 0 ? 'lora-full' : 'lora',
    rank: Math.max(...united.map(({ rank }) => rank)),
    targetModules,
  };
}

/** A trained bias of a module with LoRA joins its site; nothing else names a site twice. */
function uniteBySite(contents: readonly PackedSiteContent[]): readonly PackedSiteContent[] {
  const sites = new Map<string, PackedSiteContent>();
  for (const content of contents) {
    const before = sites.get(content.site);
    const bias = before?.bias?.map((value, index) => value + (content.bias?.[index] ?? 0)) ?? content.bias;
    sites.set(content.site, { ...content, ...before, ...(bias && { bias }) });
  }
  return [...sites.values()];
}
