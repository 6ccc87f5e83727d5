// A micro-batch as the arrays that a training graph reads: flat tokens, where they lie in rows, what sees what, what is supervised.
import type { TensorData } from '../../../runtime/index.ts';
import type { TrainingExample } from '../ports.ts';

export interface HeadCounts {
  readonly headCount: number;
  readonly kvHeadCount: number;
  /** A token sees itself and the tokens before it, this many in all; null: every token before it. */
  readonly slidingWindow: number | null;
}

/** Shapes as at `buildLlamaTraining`: T tokens, R rows, the longest of L tokens, S supervised. */
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
}

/** Far below any score, and its exponential is exactly 0; infinity would make a NaN of a row that sees nothing. */
const UNSEEN = -1e30;

export function makeBatch(examples: readonly TrainingExample[], heads: HeadCounts): Batch {
  const lengths = examples.map(({ tokenIds }) => tokenIds.length);
  const length = Math.max(0, ...lengths);
  const tokenCount = lengths.reduce((sum, next) => sum + next, 0);
  const inputIds = new BigInt64Array(tokenCount);
  let token = 0;
  for (const { tokenIds } of examples) for (const id of tokenIds) inputIds[token++] = BigInt(id);
  return {
    tokenCount,
    rowCount: examples.length,
    length,
    inputIds,
    unpackQueries: unpackIndices(lengths, length, heads.headCount),
    unpackKeys: unpackIndices(lengths, length, heads.kvHeadCount),
    packQueries: packIndices(lengths, tokenCount, heads.headCount),
    packKeys: packIndices(lengths, tokenCount, heads.kvHeadCount),
    mask: maskOf(lengths, length, heads.slidingWindow),
    ...supervision(examples, tokenCount),
  };
}

/** [rows, heads, length] → token * heads + head; padding names the first vector of its row. */
function unpackIndices(lengths: readonly number[], length: number, heads: number): BigInt64Array {
  const indices = new BigInt64Array(lengths.length * heads * length);
  let place = 0;
  let start = 0;
  for (const rowLength of lengths) {
    for (let head = 0; head < heads; head++)
      for (let position = 0; position < length; position++)
        indices[place++] = BigInt((start + (position < rowLength ? position : 0)) * heads + head);
    start += rowLength;
  }
  return indices;
}

/** [tokens * heads, 3] → row, head, position. */
function packIndices(lengths: readonly number[], tokenCount: number, heads: number): BigInt64Array {
  const indices = new BigInt64Array(tokenCount * heads * 3);
  let place = 0;
  for (const [row, rowLength] of lengths.entries())
    for (let position = 0; position < rowLength; position++)
      for (let head = 0; head < heads; head++) {
        indices[place++] = BigInt(row);
        indices[place++] = BigInt(head);
        indices[place++] = BigInt(position);
      }
  return indices;
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

type Supervision = Pick<Batch, 'supervisedCount' | 'supervised' | 'supervisedInverse' | 'targets'>;

/** A token is supervised when the one after it in its row is to be predicted. */
function supervision(examples: readonly TrainingExample[], tokenCount: number): Supervision {
  const places: number[] = [];
  const targets: number[] = [];
  let start = 0;
  for (const { tokenIds, supervised } of examples) {
    for (let position = 1; position < tokenIds.length; position++) {
      if (supervised[position] !== 1) continue;
      places.push(start + position - 1);
      targets.push(tokenIds[position] ?? 0);
    }
    start += tokenIds.length;
  }
  const supervisedInverse = new BigInt64Array(tokenCount).fill(BigInt(places.length));
  for (const [index, place] of places.entries()) supervisedInverse[place] = BigInt(index);
  return {
    supervisedCount: places.length,
    supervised: BigInt64Array.from(places, BigInt),
    supervisedInverse,
    targets: BigInt64Array.from(targets, BigInt),
  };
}

type BatchInput = readonly [string, 'int64' | 'float32', readonly number[], TensorData];

/** Inputs of a training graph: name, type, shape, values. */
export function batchInputs(batch: Batch): readonly BatchInput[] {
  const { rowCount, length, tokenCount, supervisedCount } = batch;
  const heads = (indices: BigInt64Array): number => indices.length / Math.max(1, rowCount * length);
  return [
    ['input_ids', 'int64', [tokenCount], batch.inputIds],
    ['unpack.queries', 'int64', [rowCount, heads(batch.unpackQueries), length], batch.unpackQueries],
    ['unpack.keys', 'int64', [rowCount, heads(batch.unpackKeys), length], batch.unpackKeys],
    ['pack.queries', 'int64', [batch.packQueries.length / 3, 3], batch.packQueries],
    ['pack.keys', 'int64', [batch.packKeys.length / 3, 3], batch.packKeys],
    ['mask', 'float32', [rowCount, 1, length, length], batch.mask],
    ['supervised', 'int64', [supervisedCount], batch.supervised],
    ['supervised.inverse', 'int64', [tokenCount], batch.supervisedInverse],
    ['targets', 'int64', [supervisedCount], batch.targets],
  ];
}
