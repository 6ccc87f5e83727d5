// How results look: one JSON value with --json, aligned columns for a person.
import type { CommandContext } from './context.ts';

export interface OutputOptions {
  readonly json?: boolean;
}

/** Prints `value` as JSON, or the lines that `describe` makes of it. */
export function print<T>(context: CommandContext, options: OutputOptions, value: T, describe: (value: T) => readonly string[]): void {
  const lines = options.json === true ? [JSON.stringify(value, null, 2)] : describe(value);
  for (const line of lines) context.output.write(`${line}\n`);
}

/** Columns of text, each as wide as its widest cell. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${BYTE_UNITS[power]}`;
}

export function formatTime(milliseconds: number | null): string {
  return milliseconds === null ? 'never' : new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ');
}
