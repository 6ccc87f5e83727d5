import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_LIMITS } from './row.ts';
import { type RowLine, rowLines } from './row-lines.ts';

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function linesOf(bytes: Uint8Array, size = 7): Promise<readonly RowLine[]> {
  const lines: RowLine[] = [];
  for await (const line of rowLines(inChunks(bytes, size))) lines.push(line);
  return lines;
}

describe('the lines of a training file', () => {
  it('keep their numbers over blank lines, and a carriage return is white space of JSON', async () => {
    expect(await linesOf(Buffer.from('\uFEFF{"a":1}\r\n\n \t\r\n{"b":2}'))).toEqual([
      { number: 1, line: '{"a":1}\r' },
      { number: 4, line: '{"b":2}' },
    ]);
  });

  it('do not depend on how the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' })), fc.integer({ min: 1, max: 9 }), async (texts, size) => {
        const bytes = Buffer.from(texts.join('\n'));
        expect(await linesOf(bytes, size)).toEqual(await linesOf(bytes, bytes.length + 1));
      }),
      { seed: 2 },
    );
  });

  it('are problems when they are too long or no UTF-8, and the rest is read on', async () => {
    const bytes = Buffer.concat([
      Buffer.alloc(ROW_LIMITS.lineBytes + 5, 'x'),
      Buffer.from('\n'),
      Buffer.from([0xff, 0x0a]),
      Buffer.from('ok\n'),
    ]);
    expect(await linesOf(bytes, 65_536)).toEqual([
      { number: 1, line: { kind: 'problem', field: null, message: 'got a line of 1048581 bytes, expected at most 1048576' } },
      { number: 2, line: { kind: 'problem', field: null, message: 'got bytes that are not valid UTF-8' } },
      { number: 3, line: 'ok' },
    ]);
  });
});
