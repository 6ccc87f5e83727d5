// The weighted sum of what adapters do: W + sum of w (W' - W) for the weight W' of each part, biases alike. Exact: ranks are set side by
// side, so nothing but float32 rounding is lost. Pure.
import { AppError } from '../../core/index.ts';
import { packedArray, type PackedAdapter, type PackedSite, type PackedSiteContent } from '../packed.ts';

export interface WeightedAdapter {
  readonly adapter: PackedAdapter;
  readonly weight: number;
  /** For messages, for example `poet@3`. */
  readonly label: string;
}

/**
 * With y = g (W x) + (x A) B + b a part changes y by (g - 1)(W x) + (x A) B + b, so the sum of w times that is, for every site:
 * gain 1 + sum of w (g - 1), A the parts' columns side by side, B the rows w B below each other, bias the sum of w b.
 * @param maxRank - largest rank of a site.
 * @throws AppError `unsupported_adapter` for full parts, and where the ranks of a site add up to more than `maxRank`.
 */
export function sumOfDeltas(parts: readonly WeightedAdapter[], maxRank: number): readonly PackedSiteContent[] {
  for (const { adapter, label } of parts) {
    if (adapter.header.full === undefined) continue;
    throw new AppError(
      'unsupported_adapter',
      `${label} replaces whole tensors of the base (modules_to_save): it is served alone, never in a mix`,
    );
  }
  const sites = [...new Set(parts.flatMap(({ adapter }) => adapter.header.sites.map(({ site }) => site)))];
  return sites.map((site) => sumAtSite(site, parts, maxRank));
}

interface Term extends WeightedAdapter {
  readonly packed: PackedSite;
}

function sumAtSite(site: string, parts: readonly WeightedAdapter[], maxRank: number): PackedSiteContent {
  const terms = parts.flatMap((part): Term[] => {
    const packed = part.adapter.header.sites.find((candidate) => candidate.site === site);
    return packed === undefined ? [] : [{ ...part, packed }];
  });
  const rank = terms.reduce((sum, term) => sum + term.packed.rank, 0);
  if (rank > maxRank) {
    const ranks = terms.map((term) => `${term.label} ${term.packed.rank}`).join(', ');
    throw new AppError(
      'unsupported_adapter',
      `the mix has rank ${rank} at ${site} (${ranks}), this server allows at most ${maxRank} (adapterMaxRank)`,
    );
  }
  const gain = weightedSum(terms, ({ gain: array }) => array, 1);
  const bias = weightedSum(terms, ({ bias: array }) => array, 0);
  return { site, rank, a: sideBySide(terms, rank), b: below(terms), ...(gain && { gain }), ...(bias && { bias }) };
}

/** [in, r1], [in, r2], … to [in, r1 + r2 + …]. */
function sideBySide(terms: readonly Term[], rank: number): Float32Array {
  const inputs = Math.max(0, ...terms.map(({ packed }) => (packed.rank > 0 ? packed.a.length / packed.rank : 0)));
  const joined = new Float32Array(inputs * rank);
  let column = 0;
  for (const { adapter, packed } of terms) {
    const values = packedArray(adapter, packed.a);
    for (let row = 0; packed.rank > 0 && row < inputs; row += 1) {
      joined.set(values.subarray(row * packed.rank, (row + 1) * packed.rank), row * rank + column);
    }
    column += packed.rank;
  }
  return joined;
}

/** [r1, out], [r2, out], … times the weights, to [r1 + r2 + …, out]. */
function below(terms: readonly Term[]): Float32Array {
  const joined = new Float32Array(terms.reduce((sum, { packed }) => sum + packed.b.length, 0));
  let offset = 0;
  for (const { adapter, packed, weight } of terms) {
    const values = packedArray(adapter, packed.b);
    for (let index = 0; index < values.length; index += 1) joined[offset + index] = weight * (values[index] ?? 0);
    offset += values.length;
  }
  return joined;
}

/** neutral + the sum of w (values - neutral) over the terms that have the array; undefined when none has. */
function weightedSum(terms: readonly Term[], pick: (site: PackedSite) => PackedSite['bias'], neutral: number): Float32Array | undefined {
  const arrays = terms.flatMap(({ adapter, packed, weight }) => {
    const array = pick(packed);
    return array === undefined ? [] : [{ values: packedArray(adapter, array), weight }];
  });
  const [first] = arrays;
  if (first === undefined) return undefined;
  const sum = new Float64Array(first.values.length).fill(neutral);
  for (const { values, weight } of arrays) {
    for (let index = 0; index < sum.length; index += 1) sum[index] = (sum[index] ?? 0) + weight * ((values[index] ?? 0) - neutral);
  }
  return Float32Array.from(sum);
}
