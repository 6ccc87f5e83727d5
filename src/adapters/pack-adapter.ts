// One upload from PEFT's two files to the packed file that the engine reads. Takes turns with the event loop.
import type { Clock } from '../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../models/index.ts';
import { requireBaseCopy } from './base-copy.ts';
import { createTurns } from './event-loop-turns.ts';
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

export interface PackedUpload {
  readonly bytes: Uint8Array;
  readonly kind: 'lora';
  readonly rank: number;
  readonly targetModules: readonly string[];
}

/** @throws AppError `invalid_adapter` or `unsupported_adapter`, naming what is wrong. */
export async function packAdapter(files: AdapterFiles, context: PackingContext): Promise<PackedUpload> {
  const { base, weights, maxRank } = context;
  const turns = createTurns(context.clock);
  const { sites, baseCopies, rank, targetModules } = validateAdapter(files, base, maxRank);
  for (const copy of baseCopies) await requireBaseCopy(copy, await weights.readWeight(copy.site.module), turns);
  const packed: PackedSiteContent[] = [];
  for (const site of sites) {
    await turns();
    packed.push(await packSite(site.read(), (module) => weights.readWeight(module), turns));
  }
  return { bytes: encodePacked(base.digest, packed), kind: 'lora', rank, targetModules };
}
