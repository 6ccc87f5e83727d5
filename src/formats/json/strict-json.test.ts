// Strict JSON: agrees with JSON.parse on what both take, and refuses what JSON.parse lets pass.
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outcomeOf } from '../../../test/support/outcome.ts';
import { FormatError } from '../format-error.ts';
import { shownJson } from './shown-json.ts';
import { isJsonArray, isJsonObject, parseStrictJson, type JsonValue } from './strict-json.ts';

const LIMITS = { maxDepth: 10, maxValues: 1000 };

function parse(text: string): JsonValue {
  return parseStrictJson(text, 'test', LIMITS);
}

/** The plain form of JSON.parse, to compare with. */
function plain(value: JsonValue): unknown {
  if (isJsonArray(value)) return value.map((item) => plain(item));
  if (isJsonObject(value)) return Object.fromEntries([...value].map(([key, member]) => [key, plain(member)]));
  return value;
}

describe('parseStrictJson', () => {
  it('reads what JSON.stringify writes, as JSON.parse does', () => {
    const values = fc.json({ maxDepth: 4 }).filter((text) => !/\\u(?:d[89a-f])/i.test(text));
    fc.assert(
      fc.property(values, (text) => {
        expect(plain(parse(text))).toEqual(JSON.parse(text));
      }),
      { seed: 1 },
    );
  });

  it('answers a value or a FormatError for any text, and a value only where JSON.parse has one', () => {
    const fragments = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '\\',
      '1',
      '-',
      '.5',
      'e3',
      '0',
      'true',
      'null',
      ' ',
      '\n',
      '\u0000',
    );
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        const ours = outcomeOf(() => plain(parse(text)));
        const theirs = outcomeOf((): unknown => JSON.parse(text));
        const isRefusal = ours.error instanceof FormatError;
        expect(isRefusal || isDeepStrictEqual(ours, theirs)).toBe(true);
      }),
      { numRuns: 2000, seed: 1 },
    );
  });

  it('keeps keys in file order, also those that look like numbers', () => {
    const value = parse('{"b":1,"10":2,"2":3,"__proto__":4}');
    expect(isJsonObject(value) && [...value.keys()]).toEqual(['b', '10', '2', '__proto__']);
  });

  it.each([
    ['{"a":1,"a":1}', /duplicate key "a"/],
    ['{"a":{"b":1,"\\u0062":2}}', /duplicate key "b"/],
    ['"\\ud83d"', /lone surrogate/],
    ['"\\udc00\\ud800"', /lone surrogate/],
    ['[1,]', /expected a JSON value/],
    ['[1 2]', /expected "," or "\]"/],
    ['{a:1}', /quoted key/],
    ['{"a" 1}', /expected ":"/],
    ['01', /after the end/],
    ['+1', /expected a JSON value/],
    ['1e999', /out of range/],
    ['NaN', /expected a JSON value/],
    ['', /expected a JSON value/],
    ['"a', /unterminated/],
    ['"\\x"', /unknown escape/],
    ['"\\u12g4"', /unknown escape/],
    ['"\t"', /control character/],
    ['\uFEFF1', /expected a JSON value/],
    ['\u00a01', /expected a JSON value/],
    ['['.repeat(11), /nested deeper than 10/],
    [`[${'0,'.repeat(1000)}0]`, /more than 1000 JSON values/],
  ])('refuses %j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it('takes only plain digits where a format has nothing but counts', () => {
    const integers = (text: string): JsonValue => parseStrictJson(text, 'test', { ...LIMITS, plainIntegersOnly: true });
    expect(integers('[0,12]')).toEqual([0, 12]);
    for (const text of ['-0', '1.0', '1e2', '-5']) expect(() => integers(text)).toThrow(/non-negative integer/);
  });
});

describe('shownJson', () => {
  it('spells short values whole and cuts long ones', () => {
    expect(shownJson(parse('{"a":["x",1,null,true]}'))).toBe('{"a": ["x", 1, null, true]}');
    const long = shownJson(parse(`["${'y'.repeat(5000)}"]`));
    expect(long.length).toBeLessThan(70);
    expect(long.endsWith('…')).toBe(true);
  });
});
