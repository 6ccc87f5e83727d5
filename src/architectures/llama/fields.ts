// Reads typed fields out of untrusted key-value data, whatever its origin; every refusal names the key and shows what came.
import { refuseModel } from './config.ts';

export interface Fields {
  /** Present, and neither null nor undefined. */
  has(key: string): boolean;
  value(key: string): unknown;
  /** A number; 64-bit integers are taken when they are safe. Without a fallback the key is required. */
  number(key: string, fallback?: number): number;
  text(key: string, fallback?: string): string;
  flag(key: string, fallback: boolean): boolean;
}

/** Fields of a lookup. `origin` is how messages call it: `config.json`. */
export function fieldsOf(origin: string, lookup: (key: string) => unknown): Fields {
  const wrong = (key: string, expected: string): never => {
    const value = lookup(key);
    return refuseModel(
      value === undefined
        ? `${origin} has no ${key}, expected ${expected}`
        : `${origin} has ${key} = ${shown(value)}, expected ${expected}`,
    );
  };
  const has = (key: string): boolean => lookup(key) !== undefined && lookup(key) !== null;
  return {
    has,
    value: lookup,
    number: (key, fallback) => {
      const value = lookup(key);
      if (typeof value === 'number') return value;
      if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value);
      return !has(key) && fallback !== undefined ? fallback : wrong(key, 'a number');
    },
    text: (key, fallback) => {
      const value = lookup(key);
      if (typeof value === 'string') return value;
      return !has(key) && fallback !== undefined ? fallback : wrong(key, 'a string');
    },
    flag: (key, fallback) => {
      const value = lookup(key);
      if (typeof value === 'boolean') return value;
      return has(key) ? wrong(key, 'true or false') : fallback;
    },
  };
}

/** A plain object. */
export function asRecord(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuseModel(`${what} is ${shown(value)}, expected an object`);
  return value as Readonly<Record<string, unknown>>;
}

/** Short text of an untrusted value. */
export function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
