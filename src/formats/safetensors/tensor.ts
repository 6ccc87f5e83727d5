// What a tensor of a safetensors file is, and the limits that readers hold. Layout lives in header.ts.
import type { FloatType } from '../float-bytes.ts';

/** The element types that this server computes with; all others are refused by name. */
export type SafetensorsDtype = FloatType;

export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major; empty for a scalar. */
  readonly shape: readonly number[];
  /** Little-endian elements; from a reader it may be a view that starts at any byte. */
  readonly bytes: Uint8Array;
}

/** Where a tensor lies. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsLimits {
  readonly headerBytes: number;
  readonly tensorCount: number;
  /** UTF-8 bytes of one tensor name. */
  readonly nameBytes: number;
  /** UTF-8 bytes of all keys and values of `__metadata__`. */
  readonly metadataBytes: number;
  readonly maxRank: number;
  readonly dtypes: readonly SafetensorsDtype[];
}

const ALL_DTYPES: readonly SafetensorsDtype[] = ['F32', 'F16', 'BF16'];

/** For files that tenants upload. */
export const ADAPTER_LIMITS: SafetensorsLimits = {
  headerBytes: 4 << 20,
  tensorCount: 20_000,
  nameBytes: 512,
  metadataBytes: 64 << 10,
  maxRank: 2,
  dtypes: ALL_DTYPES,
};

/** For base models that an operator imports. */
export const CHECKPOINT_LIMITS: SafetensorsLimits = {
  headerBytes: 64 << 20,
  tensorCount: 200_000,
  nameBytes: 512,
  metadataBytes: 1 << 20,
  maxRank: 8,
  dtypes: ALL_DTYPES,
};
