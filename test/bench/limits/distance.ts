// How near a workload comes to what the machine allows: the time that its bytes or its operations need at least. Pure.
import type { MachineLimits } from './limits-child.ts';

/** What one form of a base asks of the machine. */
export interface FormCost {
  /** Weights that one run reads. */
  readonly weightBytes: number;
  readonly kvBytesPerPosition: number;
  /** Bytes of A and B at rank 1, over all linears. */
  readonly adapterBytesPerRank: number;
  readonly isFloat32: boolean;
}

/** Sizes that no form changes. */
export interface ModelSize {
  /** Multiplications of one token in all linears of the layers. */
  readonly linearProducts: number;
  readonly headProducts: number;
  /** Of one token with one cached position: scores and sums of all heads. */
  readonly attentionProducts: number;
  /** Values of A and B at rank 1, over all linears. */
  readonly adapterValuesPerRank: number;
}

export interface Floor {
  /** One run or, for a prefill, all of its runs. */
  readonly bytes: number;
  readonly operations: number;
  /** The longer of both at full speed. */
  readonly seconds: number;
  readonly boundBy: 'memory' | 'operations';
}

export interface DecodeShape {
  readonly rows: number;
  /** Cached positions of a row, in the middle of the timed part. */
  readonly positions: number;
  /** Different adapters: each has to be read once. */
  readonly adapters: { readonly count: number; readonly rank: number } | null;
}

/** Floor of one decode step. */
export function decodeFloor({ rows, positions, adapters }: DecodeShape, size: ModelSize, form: FormCost, limits: MachineLimits): Floor {
  const adapterValues = (adapters?.rank ?? 0) * size.adapterValuesPerRank;
  const adapterBytes = adapters ? adapters.count * adapters.rank * form.adapterBytesPerRank : 0;
  const bytes = form.weightBytes + rows * positions * form.kvBytesPerPosition + adapterBytes;
  const products = size.linearProducts + size.headProducts + positions * size.attentionProducts + adapterValues;
  return floor(bytes, 2 * rows * products, form, limits);
}

/** Floor of a prompt of one row that is read in runs of `chunkTokens`. */
export function prefillFloor(tokens: number, chunkTokens: number, size: ModelSize, form: FormCost, limits: MachineLimits): Floor {
  const runs = Math.ceil(tokens / chunkTokens);
  const products = tokens * (size.linearProducts + (tokens / 2) * size.attentionProducts) + size.headProducts;
  return floor(runs * form.weightBytes, 2 * products, form, limits);
}

function floor(bytes: number, operations: number, { isFloat32 }: FormCost, limits: MachineLimits): Floor {
  const readSeconds = bytes / limits.bytesPerSecond;
  const workSeconds = operations / (isFloat32 ? limits.float32PerSecond : limits.int8PerSecond);
  return {
    bytes,
    operations,
    seconds: Math.max(readSeconds, workSeconds),
    boundBy: readSeconds >= workSeconds ? 'memory' : 'operations',
  };
}
