// Which tensors of the base a packed adapter changes, and into what: W' = gain * W + (A B)^T, biases, replaced tensors.
// Knows the packed form alone: no files, no precision of the base.
import { packedArray, type PackedAdapter, type PackedSite } from './packed-file.ts';
import { addRows, transpose } from './row-sums.ts';

/** What the base's description tells of a site. */
export interface MergeSite {
  readonly id: string;
  /** Path of its module; the checkpoint's tensors are `<module>.weight` and `<module>.bias`. */
  readonly module: string;
  readonly kind: 'linear' | 'head' | 'embedding';
}

/** From a tensor's values in the base, in float32 and row-major, to a fresh array of those in the merged model. */
type Merge = (base: Float32Array) => Float32Array;

/**
 * Checkpoint tensor → its merge, for every tensor that the adapter changes. Two things need care where the base has no such tensor:
 * of a tied head, `lm_head.weight` begins as the embedding's values, and changing either of the two unties them;
 * a `.bias` begins as zeros.
 * @param sites - those of the base's description.
 * @throws Error when the adapter has a site that is not among them.
 */
export function mergedTensors(adapter: PackedAdapter, sites: readonly MergeSite[]): ReadonlyMap<string, Merge> {
  const merges = new Map<string, Merge>();
  const siteOf = new Map(sites.map((site) => [site.id, site]));
  for (const packed of adapter.header.sites) {
    const site = siteOf.get(packed.site);
    if (site === undefined) throw new Error(`merging: the base has no site ${packed.site}`);
    const { bias } = packed;
    if (packed.rank > 0) {
      const merge = site.kind === 'embedding' ? mergeEmbedding : mergeLinear;
      merges.set(`${site.module}.weight`, (base) => merge(adapter, packed, base));
    }
    if (bias) merges.set(`${site.module}.bias`, (base) => base.map((value, index) => value + (packedArray(adapter, bias)[index] ?? 0)));
  }
  for (const { tensor, values } of adapter.header.full ?? []) merges.set(tensor, () => packedArray(adapter, values).slice());
  return merges;
}

/** W [out, in], A [in, r], B [r, out]: each row times its gain, plus the rows of A^T by a column of B. */
function mergeLinear(adapter: PackedAdapter, { rank, a, b, gain }: PackedSite, base: Float32Array): Float32Array {
  const [inFeatures, outFeatures] = [a.length / rank, b.length / rank];
  requireSize(base, inFeatures * outFeatures);
  const rowsOfA = transpose(packedArray(adapter, a), inFeatures, rank);
  const columnsOfB = packedArray(adapter, b);
  const gains = gain && packedArray(adapter, gain);
  const merged = new Float32Array(base.length);
  const row = new Float64Array(inFeatures);
  const factors = new Float64Array(rank);
  for (let out = 0; out < outFeatures; out += 1) {
    const start = out * inFeatures;
    const factor = gains?.[out] ?? 1;
    for (let index = 0; index < inFeatures; index += 1) row[index] = factor * (base[start + index] ?? 0);
    for (let k = 0; k < rank; k += 1) factors[k] = columnsOfB[k * outFeatures + out] ?? 0;
    addRows(row, rowsOfA, factors);
    merged.set(row, start);
  }
  return merged;
}

/** W [vocabulary, hidden], A [vocabulary, r], B [r, hidden]: each row times the gains, plus the rows of B by a row of A. */
function mergeEmbedding(adapter: PackedAdapter, { rank, a, b, gain }: PackedSite, base: Float32Array): Float32Array {
  const [vocabulary, hidden] = [a.length / rank, b.length / rank];
  requireSize(base, vocabulary * hidden);
  const rowsOfA = packedArray(adapter, a);
  const rowsOfB = packedArray(adapter, b);
  const gains = gain && packedArray(adapter, gain);
  const merged = new Float32Array(base.length);
  const row = new Float64Array(hidden);
  for (let token = 0; token < vocabulary; token += 1) {
    const start = token * hidden;
    for (let index = 0; index < hidden; index += 1) row[index] = (gains?.[index] ?? 1) * (base[start + index] ?? 0);
    addRows(row, rowsOfB, Float64Array.from(rowsOfA.subarray(token * rank, (token + 1) * rank)));
    merged.set(row, start);
  }
  return merged;
}

function requireSize(base: Float32Array, expected: number): void {
  if (base.length !== expected) throw new Error(`merging: the base's tensor has ${base.length} values, the adapter expects ${expected}`);
}
