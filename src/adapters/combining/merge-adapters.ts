// Several adapters as one new adapter, for good: PEFT's two files and how much was lost. What a request does for its own time is in mix-leases.ts.
import { AppError, systemClock } from '../../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../../models/index.ts';
import { packAdapter } from '../pack-adapter.ts';
import { packSite } from '../pack-site.ts';
import { decodePacked, encodePacked, type PackedAdapter, type PackedSiteContent } from '../packed.ts';
import type { AdapterFiles } from '../validate.ts';
import { mergeLora, type LoraPart } from './merge-lora.ts';
import type { FactorStrategy } from './mix.ts';
import { peftFiles } from './peft-files.ts';
import { recompress } from './recompress.ts';
import { sumOfDeltas } from './sum-of-deltas.ts';

export interface MergeBase {
  readonly description: BaseModelDescription;
  /** Read only for DoRA. */
  readonly weights: BaseWeights;
}

export interface MergeOptions {
  /** `sum`: the exact sum of w dW. Others merge A with A and B with B, as PEFT's add_weighted_adapter does. */
  readonly strategy: FactorStrategy | { readonly strategy: 'sum' };
  /** Largest rank of a site; null: what comes out. */
  readonly rank: number | null;
}

export interface MergedSite {
  readonly site: string;
  readonly rank: number;
  /** Before it was compressed. */
  readonly fullRank: number;
  /** ||dW - dW'|| / ||dW||, Frobenius. */
  readonly relativeError: number;
}

export interface MergedAdapters {
  readonly files: AdapterFiles;
  readonly sites: readonly MergedSite[];
  /** The same over all sites together. */
  readonly relativeError: number;
}

/** @throws AppError naming the part that does not fit the base, or what of it cannot be merged. */
export async function mergeAdapters(parts: readonly LoraPart[], options: MergeOptions, base: MergeBase): Promise<MergedAdapters> {
  const { strategy, rank } = options;
  const contents = strategy.strategy === 'sum' ? await summed(parts, base) : await merged(parts, strategy, base);
  const compressed = contents.map((content) => ({ fullRank: content.rank, ...recompress(content, rank ?? Number.MAX_SAFE_INTEGER) }));
  return {
    files: await peftFiles(
      compressed.map(({ content }) => content),
      base.description,
      base.weights,
    ),
    sites: compressed.map(({ content, fullRank, norm, lostNorm }) => ({
      site: content.site,
      rank: content.rank,
      fullRank,
      relativeError: share(lostNorm, norm),
    })),
    relativeError: share(Math.hypot(...compressed.map(({ lostNorm }) => lostNorm)), Math.hypot(...compressed.map(({ norm }) => norm))),
  };
}

/** The packed form of a sum of adapters; that of one adapter at weight 1 keeps its full parts. @throws AppError as `mergeAdapters`. */
export async function packSum(parts: readonly LoraPart[], base: MergeBase): Promise<PackedAdapter> {
  const [only, ...more] = parts;
  if (only !== undefined && more.length === 0 && only.weight === 1) return await packPart(only, base);
  return decodePacked(encodePacked(base.description.digest, await summed(parts, base)));
}

async function summed(parts: readonly LoraPart[], base: MergeBase): Promise<readonly PackedSiteContent[]> {
  const weighted = [];
  for (const part of parts) weighted.push({ label: part.label, weight: part.weight, adapter: await packPart(part, base) });
  return sumOfDeltas(weighted, Number.MAX_SAFE_INTEGER);
}

async function packPart({ files, label }: LoraPart, { description, weights }: MergeBase): Promise<PackedAdapter> {
  try {
    const { bytes } = await packAdapter(files, { base: description, weights, maxRank: Number.MAX_SAFE_INTEGER, clock: systemClock });
    return decodePacked(bytes);
  } catch (error) {
    if (error instanceof AppError) throw new AppError(error.code, `${label}: ${error.message}`, { cause: error });
    throw error;
  }
}

async function merged(
  parts: readonly LoraPart[],
  strategy: FactorStrategy,
  { description }: MergeBase,
): Promise<readonly PackedSiteContent[]> {
  const noWeights = (module: string): Promise<never> => Promise.reject(new Error(`merging: ${module} has no DoRA, so no weight is read`));
  const sites: PackedSiteContent[] = [];
  for (const site of mergeLora(parts, strategy, 'peft', description)) sites.push(await packSite(site, noWeights, () => undefined));
  return sites;
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
