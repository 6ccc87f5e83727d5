// A micro-batch as the arrays that a training graph reads: flat tokens, where they lie in rows, what sees what, what is supervised.
import type { TensorData } from '../../../runtime/index.ts';
import type { TrainingExample } from '../ports.ts';
import { type Copy, layOut, type Place } from './token-layout.ts';

export interface HeadCounts {
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headSize: number;
  /** Longest row. */
  readonly maxContext: number;
  /** A token sees itself and the tokens before it, this many in all; null: every token before it. */
  readonly slidingWindow: number | null;
}

/** Shapes as at `buildLlamaTraining`: T tokens, R rows, the longest of L tokens, S supervised, C further places of keys. */
export interface Batch {
  readonly tokenCount: number;
  readonly rowCount: number;
  readonly length: number;
  readonly supervisedCount: number;
  readonly inputIds: BigInt64Array;
  readonly unpackQueries: BigInt64Array;
  readonly unpackKeys: BigInt64Array;
  readonly packQueries: BigInt64Array;
  readonly packKeys: BigInt64Array;
  readonly mask: Float32Array;
  readonly supervised: BigInt64Array;
  readonly supervisedInverse: BigInt64Array;
  readonly targets: BigInt64Array;
  /** What the backward pass reads where rows share their first tokens; null: none do. */
  readonly shared: SharedTokens | null;
}

export interface SharedTokens {
  /** As unpackQueries, but a place that is not its token's first names T * heads: no gradient. */
  readonly ownQueries: BigInt64Array;
  /** [C], as packKeys. */
  readonly copiedKeys: BigInt64Array;
  /** [C, headSize]: the vector that each of their elements belongs to. */
  readonly copiedKeyRows: BigInt64Array;
}

/** Far below any score, and its exponential is exactly 0; infinity would make a NaN of a row that sees nothing. */
const UNSEEN = -1e30;

const LENGTH_STEP = 16;

/** Rows may share the tokens that they begin with, if `shares`. */
export function makeBatch(examples: readonly TrainingExample[], heads: HeadCounts, shares = false): Batch {
  const { tokenIds, owners, rows, copies, supervised } = layOut(examples, shares);
  const lengths = rows.map((row) => row.length);
  const length = paddedLength(Math.max(0, ...lengths), heads.maxContext);
  const supervisedInverse = new BigInt64Array(tokenIds.length).fill(BigInt(supervised.length));
  for (const [index, { token }] of supervised.entries()) supervisedInverse[token] = BigInt(index);
  const unpackQueries = unpackIndices(rows, length, heads.headCount);
  return {
    tokenCount: tokenIds.length,
    rowCount: rows.length,
    length,
    inputIds: BigInt64Array.from(tokenIds, BigInt),
    unpackQueries,
    unpackKeys: unpackIndices(rows, length, heads.kvHeadCount),
    packQueries: packIndices(owners, length, heads.headCount),
    packKeys: packIndices(owners, length, heads.kvHeadCount),
    mask: maskOf(lengths, length, heads.slidingWindow),
    supervisedCount: supervised.length,
    supervised: BigInt64Array.from(supervised, ({ token }) => BigInt(token)),
    supervisedInverse,
    targets: BigInt64Array.from(supervised, ({ target }) => BigInt(target)),
    shared: copies.length === 0 ? null : sharedTokens(copies, { heads, length, unpackQueries, tokenCount: tokenIds.length }),
  };
}

interface Unshared {
  readonly heads: HeadCounts;
  readonly length: number;
  readonly unpackQueries: BigInt64Array;
  readonly tokenCount: number;
}

function sharedTokens(copies: readonly Copy[], { heads, length, unpackQueries, tokenCount }: Unshared): SharedTokens {
  const ownQueries = unpackQueries.slice();
  for (const place of packIndices(copies, length, heads.headCount)) ownQueries[Number(place)] = BigInt(tokenCount * heads.headCount);
  return { ownQueries, copiedKeys: packIndices(copies, length, heads.kvHeadCount), copiedKeyRows: vectorsOf(copies, heads) };
}

/** Whole vectors of the widest processors: scores in rows of 75 take longer than in rows of 80 (DECISIONS.md). */
function paddedLength(longest: number, maxContext: number): number {
  return Math.max(longest, Math.min(maxContext, Math.ceil(longest / LENGTH_STEP) * LENGTH_STEP));
}

/** [rows, heads, length] → token * heads + head; padding names the first vector of its row. */
function unpackIndices(rows: readonly (readonly number[])[], length: number, heads: number): BigInt64Array {
  const indices = new BigInt64Array(rows.length * heads * length);
  let place = 0;
  for (const row of rows)
    for (let head = 0; head < heads; head++)
      for (let position = 0; position < length; position++) indices[place++] = BigInt((row[position] ?? row[0] ?? 0) * heads + head);
  return indices;
}

/** [places * heads] → place in [rows, heads, length]. */
function packIndices(places: readonly Place[], length: number, heads: number): BigInt64Array {
  const indices = new BigInt64Array(places.length * heads);
  let index = 0;
  for (const { row, position } of places)
    for (let head = 0; head < heads; head++) indices[index++] = BigInt((row * heads + head) * length + position);
  return indices;
}

/** Whose vector each element of the keys of copies belongs to. */
function vectorsOf(copies: readonly Copy[], { kvHeadCount, headSize }: HeadCounts): BigInt64Array {
  const rows = new BigInt64Array(copies.length * kvHeadCount * headSize);
  for (const [copy, { token }] of copies.entries())
    for (let head = 0; head < kvHeadCount; head++) {
      const start = (copy * kvHeadCount + head) * headSize;
      rows.fill(BigInt(token * kvHeadCount + head), start, start + headSize);
    }
  return rows;
}

/** [rows, 1, length, length]: causal; padding sees padding alone. */
function maskOf(lengths: readonly number[], length: number, slidingWindow: number | null): Float32Array {
  const mask = new Float32Array(lengths.length * length * length).fill(UNSEEN);
  for (const [row, rowLength] of lengths.entries())
    for (let query = 0; query < length; query++) {
      const first = query < rowLength ? Math.max(0, query + 1 - (slidingWindow ?? length)) : rowLength;
      const line = (row * length + query) * length;
      mask.fill(0, line + first, line + query + 1);
    }
  return mask;
}

type BatchInput = readonly [string, 'int64' | 'float32', readonly number[], TensorData];

/** Inputs of a training graph: name, type, shape, values. */
export function batchInputs(batch: Batch): readonly BatchInput[] {
  const { rowCount, length, tokenCount, supervisedCount } = batch;
  const heads = (indices: BigInt64Array): number => indices.length / Math.max(1, rowCount * length);
  const inputs: readonly BatchInput[] = [
    ['input_ids', 'int64', [tokenCount], batch.inputIds],
    ['unpack.queries', 'int64', [rowCount, heads(batch.unpackQueries), length], batch.unpackQueries],
    ['unpack.keys', 'int64', [rowCount, heads(batch.unpackKeys), length], batch.unpackKeys],
    ['pack.queries', 'int64', [batch.packQueries.length], batch.packQueries],
    ['pack.keys', 'int64', [batch.packKeys.length], batch.packKeys],
    ['mask', 'float32', [rowCount, 1, length, length], batch.mask],
    ['supervised', 'int64', [supervisedCount], batch.supervised],
    ['supervised.inverse', 'int64', [tokenCount], batch.supervisedInverse],
    ['targets', 'int64', [supervisedCount], batch.targets],
  ];
  const { shared } = batch;
  if (!shared) return inputs;
  const copies = shared.copiedKeys.length;
  return [
    ...inputs,
    ['own.queries', 'int64', [rowCount, heads(shared.ownQueries), length], shared.ownQueries],
    ['copied.keys', 'int64', [copies], shared.copiedKeys],
    ['copied.keys.rows', 'int64', [copies, shared.copiedKeyRows.length / copies], shared.copiedKeyRows],
  ];
}
