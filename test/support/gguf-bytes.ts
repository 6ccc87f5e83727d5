// Makes GGUF files field by field, so that tests can break each rule of the format alone.

/** Little-endian fields one after another. */
export class GgufBytes {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  u8(value: number): this {
    return this.raw(Uint8Array.of(value));
  }

  u32(value: number): this {
    const field = new DataView(new ArrayBuffer(4));
    field.setUint32(0, value, true);
    return this.raw(new Uint8Array(field.buffer));
  }

  u64(value: number | bigint): this {
    const field = new DataView(new ArrayBuffer(8));
    field.setBigUint64(0, BigInt(value), true);
    return this.raw(new Uint8Array(field.buffer));
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).raw(bytes);
  }

  padTo(alignment: number): this {
    return this.raw(new Uint8Array(Math.ceil(this.#length / alignment) * alignment - this.#length));
  }

  bytes(): Uint8Array {
    const joined = new Uint8Array(this.#length);
    let cursor = 0;
    for (const part of this.#parts) {
      joined.set(part, cursor);
      cursor += part.length;
    }
    return joined;
  }
}

export const GGUF_VALUE = { uint8: 0, uint32: 4, boolean: 7, string: 8, array: 9, uint64: 10 } as const;

export interface GgufTensorSpec {
  readonly name: string;
  /** ggml order: the contiguous dimension first. */
  readonly dimensions: readonly (number | bigint)[];
  readonly typeId: number;
  readonly offset: number | bigint;
}

export interface GgufSpec {
  readonly magic?: number;
  readonly version?: number;
  readonly tensorCount?: number | bigint;
  readonly pairCount?: number | bigint;
  /** Each writes key, type and value. */
  readonly pairs?: readonly ((bytes: GgufBytes) => GgufBytes)[];
  readonly tensors?: readonly GgufTensorSpec[];
  /** Bytes of data after the header's padding. */
  readonly dataBytes?: number;
  readonly alignment?: number;
}

export function ggufBytes(spec: GgufSpec): Uint8Array {
  const { pairs = [], tensors = [], dataBytes = 0, alignment = 32 } = spec;
  const file = new GgufBytes().u32(spec.magic ?? 0x46554747).u32(spec.version ?? 3);
  file.u64(spec.tensorCount ?? tensors.length).u64(spec.pairCount ?? pairs.length);
  for (const pair of pairs) pair(file);
  for (const tensor of tensors) {
    file.string(tensor.name).u32(tensor.dimensions.length);
    for (const size of tensor.dimensions) file.u64(size);
    file.u32(tensor.typeId).u64(tensor.offset);
  }
  if (dataBytes > 0) file.padTo(alignment).raw(new Uint8Array(dataBytes));
  return file.bytes();
}

export function stringPair(key: string, value: string): (bytes: GgufBytes) => GgufBytes {
  return (bytes) => bytes.string(key).u32(GGUF_VALUE.string).string(value);
}

export function uint32Pair(key: string, value: number): (bytes: GgufBytes) => GgufBytes {
  return (bytes) => bytes.string(key).u32(GGUF_VALUE.uint32).u32(value);
}
