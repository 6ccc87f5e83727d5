// Where results go: a table on the terminal, the whole record as JSON, a chart beside it. Nothing of it is in git.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  /** Lines below the table. */
  readonly notes?: readonly string[];
}

export function writeReport({ part, header, rows, measurements, chart, notes = [] }: Report): void {
  const machine = describeMachine();
  mkdirSync(RESULTS, { recursive: true });
  const stamp = machine.measuredAt.replaceAll(/[:.]/g, '-');
  const base = join(RESULTS, `${part}-${stamp}`);
  writeFileSync(`${base}.json`, `${JSON.stringify({ part, machine, measurements }, null, 2)}\n`);
  if (chart !== undefined) writeFileSync(`${base}.svg`, chart);
  const text = [machineLine(machine), markdownTable(header, rows), ...(notes.length === 0 ? [] : [notes.join('\n')])].join('\n\n');
  writeFileSync(`${base}.md`, `${text}\n`);
  console.log(`\n${text}`);
  console.log(`\nwritten to test/bench/results/${part}-${stamp}: .json, .md${chart === undefined ? '' : ', .svg'}`);
}

/** What a part measured last on this machine; null: it never ran. */
export function latestMeasurements(part: string): unknown {
  mkdirSync(RESULTS, { recursive: true });
  const latest = readdirSync(RESULTS)
    .filter((name) => name.startsWith(`${part}-2`) && name.endsWith('.json'))
    .toSorted()
    .at(-1);
  if (latest === undefined) return null;
  return (JSON.parse(readFileSync(join(RESULTS, latest), 'utf8')) as { readonly measurements: unknown }).measurements;
}

/** A Markdown table, aligned, so that it can be pasted into a README. */
function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, 3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
