// Every row of a file, read and tokenised as the trainer will: totals, or what is wrong with which line. Runs in a process of its own, or in a test.
import { createReadStream } from 'node:fs';
import { parseRow, type RowProblem, rowLines, type RowText, tokeniseRow } from '../rows/index.ts';
import type { RowTotals } from '../port.ts';

export interface RowLimits {
  readonly maxSeqLength: number;
  readonly maxRows: number;
  /** Of all rows together, once. */
  readonly maxTokens: number;
}

export interface LineProblem {
  /** From 1; null: the file as a whole. */
  readonly line: number | null;
  readonly message: string;
}

export type RowReport =
  | { readonly kind: 'good'; readonly totals: RowTotals }
  | { readonly kind: 'bad'; readonly problems: readonly LineProblem[] };

/** Where rows are checked; a tokenizer would hold up whoever answers requests. */
export interface RowChecker {
  check(path: string, limits: RowLimits): Promise<RowReport>;
}

/** Reading goes on to this many bad lines, so that an upload can be mended at once. */
const MAX_PROBLEMS = 20;

export async function checkRows(path: string, text: RowText, limits: RowLimits): Promise<RowReport> {
  const totals = { rows: 0, tokens: 0, supervisedTokens: 0, cutRows: 0 };
  const problems: LineProblem[] = [];
  for await (const { number, line } of rowLines(createReadStream(path))) {
    const problem = addRow(totals, line, text, limits);
    if (problem !== null) problems.push({ line: number, message: problem.message });
    const excess = totalProblem(totals, limits);
    if (excess !== null) return { kind: 'bad', problems: [...problems, { line: number, message: excess }] };
    if (problems.length === MAX_PROBLEMS) break;
  }
  if (problems.length > 0) return { kind: 'bad', problems };
  if (totals.rows === 0)
    return { kind: 'bad', problems: [{ line: null, message: 'got a file without rows, expected one JSON object a line' }] };
  return { kind: 'good', totals };
}

function addRow(
  totals: { -readonly [Key in keyof RowTotals]: number },
  line: string | RowProblem,
  text: RowText,
  limits: RowLimits,
): RowProblem | null {
  totals.rows += 1;
  const row = typeof line === 'string' ? parseRow(line) : line;
  if (row.kind === 'problem') return row;
  const example = tokeniseRow(row, text, limits.maxSeqLength);
  if ('kind' in example) return example;
  totals.tokens += example.tokenIds.length;
  totals.supervisedTokens += example.supervised.reduce((sum, flag) => sum + flag, 0);
  if (example.tokenIds.length === limits.maxSeqLength) {
    const longer = tokeniseRow(row, text, limits.maxSeqLength + 1);
    totals.cutRows += 'kind' in longer || longer.tokenIds.length === limits.maxSeqLength ? 0 : 1;
  }
  return null;
}

function totalProblem({ rows, tokens }: RowTotals, { maxRows, maxTokens }: RowLimits): string | null {
  if (rows > maxRows) return `got more than ${maxRows} rows, which is this server's limit (trainingMaxRows)`;
  return tokens > maxTokens ? `got more than ${maxTokens} tokens, which is this server's limit (trainingMaxTokens)` : null;
}
