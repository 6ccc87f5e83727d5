// Reads little-endian fields from the beginning of a file of which only a prefix may be in memory. Never reads past either end.
import { FormatError } from '../format-error.ts';
import { decodeUtf8 } from '../utf8.ts';

/** The prefix in memory is too short, the file is not: read more of it and parse again. */
export class PrefixTooShort extends Error {
  override readonly name = 'PrefixTooShort';
  readonly neededBytes: number;

  constructor(neededBytes: number) {
    super(`the first ${neededBytes} bytes are needed`);
    this.neededBytes = neededBytes;
  }
}

export class ByteCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  #position = 0;

  constructor(prefix: Uint8Array, fileBytes: number) {
    this.#bytes = prefix;
    this.#view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
    this.#fileBytes = fileBytes;
  }

  get position(): number {
    return this.#position;
  }

  get remainingBytes(): number {
    return this.#fileBytes - this.#position;
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  int8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  int16(): number {
    return this.#view.getInt16(this.#advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  float32(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  /** A number where that is exact, else a bigint. */
  uint64(): number | bigint {
    return exactInteger(this.#view.getBigUint64(this.#advance(8), true));
  }

  int64(): number | bigint {
    return exactInteger(this.#view.getBigInt64(this.#advance(8), true));
  }

  /** A uint64 that counts things: above `max` it is refused. */
  count(max: number, what: string): number {
    const value = this.uint64();
    if (typeof value === 'bigint' || value > max) throw new FormatError('gguf', `${what} is ${value}, at most ${max} is allowed`);
    return value;
  }

  /** Length-prefixed UTF-8. */
  string(maxBytes: number, what: string): string {
    const length = this.count(maxBytes, `the length of ${what}`);
    const start = this.#advance(length);
    const text = decodeUtf8(this.#bytes.subarray(start, start + length));
    if (text === undefined) throw new FormatError('gguf', `${what} is not valid UTF-8`);
    return text;
  }

  #advance(length: number): number {
    const start = this.#position;
    const end = start + length;
    if (end > this.#fileBytes) throw new FormatError('gguf', `the file ends at byte ${this.#fileBytes}, inside its header`);
    if (end > this.#bytes.byteLength) throw new PrefixTooShort(end);
    this.#position = end;
    return start;
  }
}

function exactInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
