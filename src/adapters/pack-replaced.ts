// From tensors of the base inside an adapter's file to the packed form: a trained bias becomes a difference, trained rows become a LoRA
// whose A chooses the token, and what a side path cannot say becomes a full part.
import type { BaseModelDescription, BaseWeights } from '../models/index.ts';
import type { AdapterSite } from '../models/index.ts';
import { requireBaseCopy } from './base-copy.ts';
import { finiteValues } from './checked-tensor.ts';
import type { TakeTurns } from './event-loop-turns.ts';
import type { PackedFullContent, PackedSiteContent } from './packed.ts';
import type { ReplacedPart } from './replaced-parts.ts';

interface Context {
  readonly base: BaseModelDescription;
  readonly weights: BaseWeights;
  /** More trained rows than this go to a merged model. */
  readonly maxRank: number;
  readonly turns: TakeTurns;
}

export interface PackedReplacements {
  /** Of rank 0 where it is a bias alone. */
  readonly sites: readonly PackedSiteContent[];
  readonly full: readonly PackedFullContent[];
}

/** @throws AppError `unsupported_adapter` for a weight that should be a copy and is none, `invalid_adapter` for values that are not finite. */
export async function packReplacedParts(parts: readonly ReplacedPart[], context: Context): Promise<PackedReplacements> {
  const sites: PackedSiteContent[] = [];
  const full: PackedFullContent[] = [];
  for (const part of parts) {
    await context.turns();
    switch (part.kind) {
      case 'copy':
        await requireBaseCopy(part, await context.weights.readWeight(part.site.module), context.turns);
        break;
      case 'full':
        full.push({ tensor: part.name, values: finiteValues(part.tensor) });
        break;
      case 'bias':
        sites.push(await packBias(part, context.weights));
        break;
      case 'rows':
        for (const site of part.sites) {
          const base = await context.weights.readWeight(site.module);
          const rows = { tokenIds: part.tokenIds, values: finiteValues(part.tensor), width: context.base.hiddenSize };
          if (part.tokenIds.length > context.maxRank) full.push({ tensor: `${site.module}.weight`, values: withRows(base, rows) });
          else sites.push(packRows(site, base, rows));
        }
    }
  }
  return { sites, full };
}

async function packBias({ site, tensor }: Extract<ReplacedPart, { kind: 'bias' }>, weights: BaseWeights): Promise<PackedSiteContent> {
  const before = await weights.readTensor(`${site.module}.bias`);
  const bias = finiteValues(tensor).map((value, index) => value - (before[index] ?? 0));
  return { site: site.id, rank: 0, a: new Float32Array(), b: new Float32Array(), bias };
}

interface Rows {
  readonly tokenIds: readonly number[];
  /** [tokens, width] */
  readonly values: Float32Array;
  readonly width: number;
}

/** Rank k belongs to the k-th token. Embedding: A chooses the row, B holds the differences. Head: A holds them, B chooses the logit. */
function packRows(
  { id, kind, inFeatures, outFeatures }: AdapterSite,
  base: Float32Array,
  { tokenIds, values, width }: Rows,
): PackedSiteContent {
  const rank = tokenIds.length;
  const a = new Float32Array(inFeatures * rank);
  const b = new Float32Array(rank * outFeatures);
  tokenIds.forEach((token, k) => {
    if (kind === 'embedding') a[token * rank + k] = 1;
    else b[k * outFeatures + token] = 1;
    for (let index = 0; index < width; index += 1) {
      const difference = (values[k * width + index] ?? 0) - (base[token * width + index] ?? 0);
      if (kind === 'embedding') b[k * width + index] = difference;
      else a[index * rank + k] = difference;
    }
  });
  return { site: id, rank, a, b };
}

function withRows(base: Float32Array, { tokenIds, values, width }: Rows): Float32Array {
  const changed = base.slice();
  tokenIds.forEach((token, k) => changed.set(values.subarray(k * width, (k + 1) * width), token * width));
  return changed;
}
