import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createProgress } from './progress.ts';

function notesOf(
  isTerminal: boolean,
  quiet: boolean,
  updates: readonly (readonly [label: string, done: number, total: number | null])[],
): string {
  const notes = new PassThrough();
  const display = createProgress({ environment: {}, workingDirectory: '.', isTerminal, output: new PassThrough(), notes }, quiet);
  for (const [label, done, total] of updates) display.update(label, done, total, 'bytes');
  display.finish();
  return String(notes.read() ?? '');
}

describe('createProgress', () => {
  it('writes the first and the last line of each stage where no terminal redraws', () => {
    const written = notesOf(false, false, [
      ['weights', 0, 2048],
      ['weights', 1024, 2048],
      ['weights', 2048, 2048],
      ['weights', 2048, 2048],
      ['tokenizer', 10, null],
    ]);
    expect(written).toBe('weights: 0 B of 2.0 KiB\nweights: 2.0 KiB of 2.0 KiB\ntokenizer: 10 B\n');
  });

  it('writes nothing when JSON is wanted', () => {
    expect(notesOf(false, true, [['weights', 1, 2]])).toBe('');
  });
});
