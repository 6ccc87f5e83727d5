// Patterns for the inside of JSON strings: the narrowed expression accepts what the given one does, less what JSON would have to escape.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonSafePattern } from './json-pattern.ts';

const refuse = (problem: string): never => {
  throw new Error(problem);
};
const printable = fc.string({
  unit: fc.constantFrom('"', '\\', ' ', '!', '#', '[', ']', 'a', 'z', '0', '9', '_', '.', '~', 'é', '🙂'),
  maxLength: 6,
});

describe('a pattern for a JSON string', () => {
  it.each(['.*', '[ -~]+', '[^a]{1,3}', '\\S+', '\\W*\\w', '\\D+', 'a\\.b|[!-#x-z]*', '[\\u0021-\\u007a]+', '[^\\d"]+', 'a[\\]\\-]?'])(
    'matches the same texts as %s, but none with a quotation mark or a backslash',
    (pattern) => {
      const [given, narrowed] = [pattern, jsonSafePattern(pattern.replace('"', ''), refuse)].map(
        (text) => new RegExp(`^(?:${text})$`, 'v'),
      );
      fc.assert(
        fc.property(printable, (text) => {
          const isUnsafe = /["\\]/.test(text);
          // What the pattern excludes by name is excluded either way.
          expect(narrowed?.test(text)).toBe(!isUnsafe && given?.test(text));
        }),
        { seed: 11, numRuns: 400 },
      );
    },
  );

  it.each(['"', '\\\\', 'a"', '["a]', '\\n', '\\bx', '\\p{L}', '\\u0022', '[\\s]', '[a'])(
    'is refused with the part that it cannot have: %s',
    (pattern) => {
      expect(() => jsonSafePattern(pattern, refuse)).toThrow(/JSON|class/);
    },
  );
});
