// Which names a tensor may have: one rule for reader and writer.
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';

/** Names that code which copies them into plain objects would trip over. */
const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const CONTROL_CHARACTER = /\p{Cc}/u;

export function isPrototypeName(name: string): boolean {
  return PROTOTYPE_NAMES.has(name);
}

/** @throws FormatError for an empty, long or reserved name, or one with control characters. */
export function requireTensorName(name: string, maxBytes: number): void {
  if (name === '') throw fail('a tensor has an empty name');
  if (Buffer.byteLength(name) > maxBytes) throw fail(`tensor name ${quoted(name)} is longer than ${maxBytes} bytes`);
  if (CONTROL_CHARACTER.test(name)) throw fail(`tensor name ${quoted(name)} holds a control character`);
  if (name === '__metadata__' || name.split('.').some((part) => isPrototypeName(part)))
    throw fail(`tensor name ${quoted(name)} is reserved`);
}

function fail(problem: string): FormatError {
  return new FormatError('safetensors', problem);
}
