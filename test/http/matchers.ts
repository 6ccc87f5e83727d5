// Vitest's asymmetric matchers as `unknown`: its own types are `any`, which would spread through every expected object.
import { expect } from 'vitest';

export const aString: unknown = expect.any(String);
export const aNumber: unknown = expect.any(Number);
export const aList: unknown = expect.any(Array);

export function matching(pattern: RegExp): unknown {
  return expect.stringMatching(pattern);
}

export function containing(text: string): unknown {
  return expect.stringContaining(text);
}

export function having(fields: Readonly<Record<string, unknown>>): unknown {
  return expect.objectContaining(fields);
}

export function including(items: readonly unknown[]): unknown {
  return expect.arrayContaining([...items]);
}
