// A change dW = A B at a smaller rank: its strongest singular directions, which is the nearest matrix of that rank (Eckart and Young, 1936).
// dW itself is never formed; see insight/delta-directions.ts.
import { deltaDirections } from '../insight/delta-directions.ts';
import { decodePacked, encodePacked, type PackedSiteContent } from '../packed.ts';
import type { Digest } from '../../core/index.ts';

export interface Recompressed {
  readonly content: PackedSiteContent;
  /** Frobenius norms of what dW was and of what is lost. Gain and bias are kept whole. */
  readonly norm: number;
  readonly lostNorm: number;
}

/** A site of rank `maxRank` or less loses nothing. */
export function recompress(content: PackedSiteContent, maxRank: number): Recompressed {
  if (content.rank === 0) return { content, norm: 0, lostNorm: 0 };
  const adapter = decodePacked(encodePacked('' as Digest, [{ site: content.site, rank: content.rank, a: content.a, b: content.b }]));
  const [site] = adapter.header.sites;
  if (site === undefined) throw new Error('recompress: the site was not packed');
  const { singularValues, input, output } = deltaDirections(adapter, site);
  const norm = Math.hypot(...singularValues);
  if (content.rank <= maxRank) return { content, norm, lostNorm: 0 };
  const rank = Math.min(maxRank, singularValues.length);
  const a = new Float32Array(input.rows * rank);
  const b = new Float32Array(rank * output.rows);
  for (let k = 0; k < rank; k += 1) {
    // Half of each value on either side keeps A and B alike in size.
    const root = Math.sqrt(singularValues[k] ?? 0);
    for (let row = 0; row < input.rows; row += 1) a[row * rank + k] = root * input.get(row, k);
    for (let column = 0; column < output.rows; column += 1) b[k * output.rows + column] = root * output.get(column, k);
  }
  return { content: { ...content, rank, a, b }, norm, lostNorm: Math.hypot(...singularValues.slice(rank)) };
}
