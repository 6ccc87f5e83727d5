// A training or validation file → its examples as tokens. The front has refused bad rows already: one here means that the file has changed.
import { createReadStream } from 'node:fs';
import { AppError } from '../../../core/index.ts';
import { parseRow, type RowText, rowLines, tokeniseRow } from '../../rows/index.ts';
import type { TrainingExample } from '../ports.ts';

/**
 * In the order of the file.
 * @param name what the file is for, in messages.
 * @throws AppError `invalid_request` with the line's number for a row that cannot be trained on, and for a file without rows.
 */
export async function loadExamples(path: string, name: string, text: RowText, maxSeqLength: number): Promise<readonly TrainingExample[]> {
  const examples: TrainingExample[] = [];
  for await (const { number, line } of rowLines(createReadStream(path, { highWaterMark: 1 << 18 }))) {
    const row = typeof line === 'string' ? parseRow(line) : line;
    const example = row.kind === 'problem' ? row : tokeniseRow(row, text, maxSeqLength);
    if ('kind' in example) throw new AppError('invalid_request', `${name} file, line ${number}: ${example.message}`);
    examples.push(example);
  }
  if (examples.length === 0) throw new AppError('invalid_request', `${name} file: got no rows, expected at least one`);
  return examples;
}
