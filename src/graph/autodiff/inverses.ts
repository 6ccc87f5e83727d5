// Gathers that are permutations: their gradient is a gather by the inverse indices instead of a scatter, which is slower and, where it adds
// in parallel, not the same from run to run.
import type { Value } from '../ir/graph.ts';

/**
 * How the gradient g of rows = Gather(data, indices) (axis 0) becomes that of data.
 * - `indices` name the place of the forward indices to which each row of data went, counted through all their axes.
 * - `missing` 'none': every row of data that can change the result was gathered exactly once, not counting `copies`. Places that several indices share (padding) must not
 *   reach the result: their gradient is passed over. 'zero': rows that were not gathered read one row of zeros behind g.
 */
export interface Inverse {
  readonly indices: Value;
  readonly missing: 'none' | 'zero';
  /** Rows of a matrix that went to further places: what arrives there is added. */
  readonly copies?: Copies;
}

export interface Copies {
  /** As `indices`. */
  readonly places: Value;
  /** int64 [places, width]: the row that each element of a place belongs to. */
  readonly rows: Value;
}

/** By the indices of the forward gather. */
export type Inverses = ReadonlyMap<Value, Inverse>;
