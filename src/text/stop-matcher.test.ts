import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStopMatcher } from './stop-matcher.ts';

function feed(stops: readonly string[], pieces: readonly string[]): { readonly text: string; readonly stopped: string | null } {
  const matcher = createStopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.stopped !== null) return { text, stopped: result.stopped };
  }
  return { text: text + matcher.flush(), stopped: null };
}

/** Written from the definition: the shortest beginning of the text that ends with a stop string; the longest such stop string. */
function expected(stops: readonly string[], text: string): { readonly text: string; readonly stopped: string | null } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).toSorted((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), stopped: found };
  }
  return { text, stopped: null };
}

const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 12 });
const stopStrings = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), { maxLength: 3 });

describe('a stop matcher', () => {
  it('finds the first stop string to be complete, however the text is cut', () => {
    fc.assert(
      fc.property(stopStrings, fc.array(letters, { maxLength: 8 }), (stops, pieces) => {
        expect(feed(stops, pieces)).toEqual(expected(stops, pieces.join('')));
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  it('holds back only what could begin a stop string', () => {
    const matcher = createStopMatcher(['\n\nUser:']);
    expect(matcher.push('Hello')).toEqual({ text: 'Hello', stopped: null });
    expect(matcher.push(' there\n')).toEqual({ text: ' there', stopped: null });
    expect(matcher.push('x')).toEqual({ text: '\nx', stopped: null });
    expect(matcher.push('\n\nUs')).toEqual({ text: '', stopped: null });
    expect(matcher.flush()).toBe('\n\nUs');
  });

  it('ends the text before a stop string that lies across pieces, and says nothing after it', () => {
    const matcher = createStopMatcher(['STOP']);
    expect(matcher.push('a ST').text).toBe('a ');
    expect(matcher.push('OP and more')).toEqual({ text: '', stopped: 'STOP' });
    expect(matcher.push('even more')).toEqual({ text: '', stopped: 'STOP' });
    expect(matcher.flush()).toBe('');
  });

  it('passes everything on when there is no stop string', () => {
    expect(createStopMatcher([]).push('abc')).toEqual({ text: 'abc', stopped: null });
  });

  it('refuses an empty stop string', () => {
    expect(() => createStopMatcher(['a', ''])).toThrow('A stop string is empty');
  });
});
