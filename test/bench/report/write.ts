// Where results go: a table on the terminal, the whole record as JSON, a chart beside it. Nothing of it is in git.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeMachine, machineLine } from './machine.ts';

const RESULTS = join(import.meta.dirname, '..', 'results');

export interface Report {
  readonly part: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Everything that was measured, for later comparison. */
  readonly measurements: unknown;
  readonly chart?: string;
}

export function writeReport({ part, header, rows, measurements, chart }: Report): void {
  const machine = describeMachine();
  mkdirSync(RESULTS, { recursive: true });
  const stamp = machine.measuredAt.replaceAll(/[:.]/g, '-');
  const base = join(RESULTS, `${part}-${stamp}`);
  writeFileSync(`${base}.json`, `${JSON.stringify({ part, machine, measurements }, null, 2)}\n`);
  if (chart !== undefined) writeFileSync(`${base}.svg`, chart);
  console.log(`\n${machineLine(machine)}\n`);
  console.log(markdownTable(header, rows));
  console.log(`\nwritten to test/bench/results/${part}-${stamp}.json${chart === undefined ? '' : ' and .svg'}`);
}

/** A Markdown table, aligned, so that it can be pasted into a README. */
function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, 3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
