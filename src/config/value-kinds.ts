// The kinds of values that a setting may have: how each is read from text or JSON and what its error message offers.
import { BYTE_SIZE_RULE, formatByteSize, parseByteSize } from './byte-size.ts';

/** Reads and writes one kind of value. `read` answers undefined for a bad value; `rule` says what is allowed. */
export interface ValueKind<T> {
  readonly rule: string;
  read(raw: unknown): T | undefined;
  write(value: T): string;
}

export function text(): ValueKind<string> {
  return {
    rule: 'a text that is not empty',
    read: (raw) => (typeof raw === 'string' && raw !== '' ? raw : undefined),
    write: (value) => value,
  };
}

export function oneOf<const T extends string>(...allowed: readonly T[]): ValueKind<T> {
  return {
    rule: `one of ${allowed.join(', ')}`,
    read: (raw) => allowed.find((candidate) => candidate === raw),
    write: (value) => value,
  };
}

export function integer(minimum: number, maximum: number): ValueKind<number> {
  return {
    rule: `a whole number from ${minimum} to ${maximum}`,
    read: (raw) => within(wholeNumber(raw), minimum, maximum),
    write: String,
  };
}

export function decimal(minimum: number, maximum: number): ValueKind<number> {
  return {
    rule: `a number from ${minimum} to ${maximum}`,
    read: (raw) => {
      const value = typeof raw === 'string' && /^\d{1,9}(\.\d{1,9})?$/.test(raw) ? Number(raw) : raw;
      return typeof value === 'number' && value >= minimum && value <= maximum ? value : undefined;
    },
    write: String,
  };
}

export function byteSize(minimumBytes: number, maximumBytes: number): ValueKind<number> {
  return {
    rule: `${BYTE_SIZE_RULE}, from ${formatByteSize(minimumBytes)} to ${formatByteSize(maximumBytes)}`,
    read: (raw) => within(typeof raw === 'string' ? parseByteSize(raw) : wholeNumber(raw), minimumBytes, maximumBytes),
    write: formatByteSize,
  };
}

export function httpUrl(): ValueKind<string> {
  return {
    rule: 'an http or https URL',
    read: (raw) => (typeof raw === 'string' && isHttpUrl(raw) ? raw.replace(/\/+$/, '') : undefined),
    write: (value) => value,
  };
}

/** The kind, or a word that stands for "not given"; that word reads as null. */
export function orWord<T>(kind: ValueKind<T>, word: string): ValueKind<T | null> {
  return {
    rule: `${kind.rule}, or "${word}"`,
    read: (raw) => (raw === word || raw === null ? null : kind.read(raw)),
    write: (value) => (value === null ? word : kind.write(value)),
  };
}

function wholeNumber(raw: unknown): number | undefined {
  if (typeof raw === 'number') return raw;
  return typeof raw === 'string' && /^\d{1,15}$/.test(raw) ? Number(raw) : undefined;
}

function within(value: number | undefined, minimum: number, maximum: number): number | undefined {
  return value !== undefined && Number.isInteger(value) && value >= minimum && value <= maximum ? value : undefined;
}

function isHttpUrl(raw: string): boolean {
  const protocol = URL.canParse(raw) ? new URL(raw).protocol : '';
  return protocol === 'http:' || protocol === 'https:';
}
