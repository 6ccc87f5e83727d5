// What is timed: prompts, lengths and adapters of each workload, the same for every side. Pure.
import type { AdapterMix, DecodeWorkload, Workload } from '../sides/protocol.ts';

export interface NamedWorkload {
  readonly name: string;
  readonly workload: Workload;
  /** The workload without adapters that this one is compared with. */
  readonly base: string | null;
}

const PREFILLS = [
  { tokens: 128, repeats: 6 },
  { tokens: 1024, repeats: 2 },
];
const DECODE_PROMPT_TOKENS = 64;
/** Prompts of different rows start this far apart in the text. */
const PROMPT_STRIDE = 40;
const WARM_UP_TOKENS = 4;
const TIMED_TOKENS = 32;
const MIXED_ROWS = 16;

interface RowsOfMix extends AdapterMix {
  readonly rows: number;
}

/** A row alone; how many different adapters; then which ranks, all rows different. */
const MIXES: readonly RowsOfMix[] = [
  { rows: 1, count: 1, rank: 16 },
  { rows: MIXED_ROWS, count: 1, rank: 16 },
  { rows: MIXED_ROWS, count: 4, rank: 16 },
  { rows: MIXED_ROWS, count: 16, rank: 4 },
  { rows: MIXED_ROWS, count: 16, rank: 8 },
  { rows: MIXED_ROWS, count: 16, rank: 16 },
  { rows: MIXED_ROWS, count: 16, rank: 32 },
  { rows: MIXED_ROWS, count: 16, rank: 64 },
];

/** Tokens of text that the workloads take for this many rows. */
export function textTokens(mostRows: number): number {
  return Math.max(...PREFILLS.map(({ tokens }) => tokens), (Math.max(mostRows, MIXED_ROWS) - 1) * PROMPT_STRIDE + DECODE_PROMPT_TOKENS);
}

/** Mixes of adapters are measured at 1 and 16 rows, whose plain batches are added where `rowCounts` lacks them. */
export function makeWorkloads(tokenIds: readonly number[], rowCounts: readonly number[]): readonly NamedWorkload[] {
  const prompts = (rows: number): readonly (readonly number[])[] =>
    Array.from({ length: rows }, (_, row) => tokenIds.slice(row * PROMPT_STRIDE, row * PROMPT_STRIDE + DECODE_PROMPT_TOKENS));
  const decode = (rows: number, adapters: AdapterMix | null): NamedWorkload => ({
    name: adapters ? mixName({ ...adapters, rows }) : decodeName(rows),
    workload: { kind: 'decode', prompts: prompts(rows), warmUpTokens: WARM_UP_TOKENS, timedTokens: TIMED_TOKENS, adapters },
    base: adapters ? decodeName(rows) : null,
  });
  const plain = [...new Set([...rowCounts, ...MIXES.map(({ rows }) => rows)])].toSorted((a, b) => a - b);
  return [
    ...PREFILLS.map(({ tokens, repeats }): NamedWorkload => ({
      name: prefillName(tokens),
      workload: { kind: 'prefill', prompt: tokenIds.slice(0, tokens), repeats },
      base: null,
    })),
    ...plain.map((rows) => decode(rows, null)),
    ...MIXES.map(({ rows, ...mix }) => decode(rows, mix)),
  ];
}

/** Cached positions of a row in the middle of the timed part. */
export function meanPositions({ prompts, warmUpTokens, timedTokens }: DecodeWorkload): number {
  return (prompts[0]?.length ?? 0) + warmUpTokens + timedTokens / 2;
}

export function rowsName(rows: number): string {
  return `${rows} ${rows === 1 ? 'row' : 'rows'}`;
}

export function decodeName(rows: number): string {
  return `decode ${rowsName(rows)}`;
}

export function prefillName(tokens: number): string {
  return `prefill ${tokens} tokens`;
}

export function mixName({ rows, count, rank }: RowsOfMix): string {
  return `${rowsName(rows)}, ${count} ${count === 1 ? 'adapter' : 'adapters'} of rank ${rank}`;
}
