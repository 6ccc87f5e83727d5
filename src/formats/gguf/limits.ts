// What a GGUF header may cost: bounds that real models stay far below.

export interface GgufLimits {
  /** Everything before the tensor data. */
  readonly headerBytes: number;
  readonly metadataCount: number;
  readonly tensorCount: number;
  /** UTF-8 bytes of one metadata key or tensor name. */
  readonly nameBytes: number;
  /** UTF-8 bytes of one metadata string. */
  readonly stringBytes: number;
  /** Elements of all metadata arrays together. */
  readonly arrayElements: number;
}

export const GGUF_LIMITS: GgufLimits = {
  headerBytes: 64 << 20,
  metadataCount: 10_000,
  tensorCount: 100_000,
  nameBytes: 512,
  stringBytes: 32 << 20,
  arrayElements: 8 << 20,
};

/** For files that tenants upload. */
export const ADAPTER_GGUF_LIMITS: GgufLimits = {
  headerBytes: 8 << 20,
  metadataCount: 1000,
  tensorCount: 20_000,
  nameBytes: 512,
  stringBytes: 1 << 20,
  arrayElements: 100_000,
};
