// BLEU of an adapter on rows with references: greedy completions through the API.
import { readFile } from 'node:fs/promises';
import { AppError, describeError } from '../../core/index.ts';
import { asRecord, type ServerClient } from '../client.ts';
import { corpusBleu, type BleuSegment } from './bleu.ts';

export interface TestRow {
  readonly prompt: string;
  readonly references: readonly string[];
}

/** Completions asked for at once. */
const AT_ONCE = 8;
const NEW_TOKENS = 60;

/** The first `count` rows of a file of {"prompt", "references"}. @throws AppError `usage` that names the line. */
export async function readTestRows(path: string, count: number): Promise<readonly TestRow[]> {
  const written = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AppError('usage', `cannot read ${path} (${describeError(cause)}); expected JSON lines {"prompt", "references": […]}`, {
      cause,
    });
  });
  const lines = written.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(0, count).map((line, index) => testRow(line, `${path}, line ${index + 1}`));
}

function testRow(line: string, where: string): TestRow {
  let body: unknown = null;
  try {
    body = JSON.parse(line);
  } catch {
    // Refused below, as what is no row of this shape.
  }
  const { prompt, references } = asRecord(body);
  const isRow = typeof prompt === 'string' && Array.isArray(references) && references.every((text) => typeof text === 'string');
  if (!isRow || references.length === 0) throw new AppError('usage', `${where}: expected {"prompt": "…", "references": ["…", …]}`);
  return { prompt, references };
}

/** Greedy, at most 60 tokens a row, as the BLEU of the sample adapters is measured. */
export async function testBleu(client: ServerClient, model: string, rows: readonly TestRow[]): Promise<number> {
  const segments: BleuSegment[] = [];
  for (let start = 0; start < rows.length; start += AT_ONCE) {
    const asked = rows.slice(start, start + AT_ONCE);
    const prompts = asked.map(({ prompt }) => prompt);
    const body = { model, prompt: prompts, max_tokens: NEW_TOKENS, temperature: 0 };
    const { choices } = asRecord(await client.json('/v1/completions', { method: 'POST', body }));
    const texts = (Array.isArray(choices) ? choices : []).map((choice: unknown) => asRecord(choice)['text']);
    asked.forEach(({ references }, index) => {
      const text = texts[index];
      if (typeof text !== 'string') throw new AppError('internal', 'the server answered fewer completions than were asked for');
      segments.push({ hypothesis: text.trim(), references });
    });
  }
  return corpusBleu(segments);
}
