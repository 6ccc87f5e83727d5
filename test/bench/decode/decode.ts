// Decode and prefill speed of ours and of llama.cpp on one file, in one run, in turns, so that a drift of the machine hits both alike.
import { availableParallelism } from 'node:os';
import type { BenchOptions } from '../options.ts';
import { barChart } from '../report/chart.ts';
import { pairedRatio, summarise } from '../report/statistics.ts';
import { writeReport } from '../report/write.ts';
import { openSubject, subjectTokenIds } from '../subject.ts';
import type { Workload } from './protocol.ts';
import { type SideProcess, startSide } from './side-process.ts';

const PROMPT_TOKENS = 128;
/** Prompts of different rows start this far apart in the text. */
const PROMPT_STRIDE = 40;
const WARM_UP_TOKENS = 4;
const TIMED_TOKENS = 48;
const PREFILL_REPEATS = 4;
const CAPACITY = 512;

const PEER = 'llama.cpp (node-llama-cpp)';
const INT8 = 'ours int8 (default)';
const INT4 = 'ours int4';

/** Tokens per second by side and workload, one value a round. */
type Samples = Map<string, Map<string, number[]>>;

export async function benchDecode({ rounds, rowCounts }: BenchOptions): Promise<boolean> {
  const mostRows = Math.max(...rowCounts);
  const tokenIds = await subjectTokenIds(await openSubject(), mostRows * PROMPT_STRIDE + PROMPT_TOKENS);
  const workloads = makeWorkloads(tokenIds, rowCounts);
  const options = { threadCount: availableParallelism(), maxRows: mostRows, capacity: CAPACITY, precision: 'int8' } as const;
  const sides = [
    await startSide(INT8, 'ours.ts', options),
    await startSide(INT4, 'ours.ts', { ...options, precision: 'int4' }),
    await startSide(PEER, 'llama-cpp.ts', options),
  ];
  const samples: Samples = new Map(sides.map(({ name }) => [name, new Map()]));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const workload of workloads) await measureRound(round, workload, sides, samples);
    }
  } finally {
    for (const side of sides) side.stop();
  }
  report(workloads, samples, rounds);
  return true;
}

function makeWorkloads(tokenIds: readonly number[], rowCounts: readonly number[]): readonly Workload[] {
  const prompt = (row: number): readonly number[] => tokenIds.slice(row * PROMPT_STRIDE, row * PROMPT_STRIDE + PROMPT_TOKENS);
  const decode = (rows: number, withAdapters: boolean): Workload => ({
    kind: 'decode',
    name: `${decodeName(rows)}${withAdapters ? `, ${rows} adapters` : ''}`,
    prompts: Array.from({ length: rows }, (_, row) => prompt(row)),
    warmUpTokens: WARM_UP_TOKENS,
    timedTokens: TIMED_TOKENS,
    withAdapters,
  });
  return [
    { kind: 'prefill', name: `prefill ${PROMPT_TOKENS} tokens`, prompt: prompt(0), repeats: PREFILL_REPEATS },
    ...rowCounts.map((rows) => decode(rows, false)),
    decode(Math.max(...rowCounts), true),
  ];
}

function decodeName(rows: number): string {
  return `decode ${rows} ${rows === 1 ? 'row' : 'rows'}`;
}

async function measureRound(round: number, workload: Workload, sides: readonly SideProcess[], samples: Samples): Promise<void> {
  for (const side of sides) {
    // The peer applies one adapter to a whole batch, so there is nothing to compare.
    if (side.name === PEER && workload.kind === 'decode' && workload.withAdapters) continue;
    const { tokensPerSecond } = await side.measure(workload);
    const bySide = samples.get(side.name);
    bySide?.set(workload.name, [...(bySide.get(workload.name) ?? []), tokensPerSecond]);
    console.log(`round ${round + 1}: ${workload.name}: ${side.name} ${tokensPerSecond.toFixed(1)} tokens/s`);
  }
}

function report(workloads: readonly Workload[], samples: Samples, rounds: number): void {
  const values = (side: string, workload: string): readonly number[] => samples.get(side)?.get(workload) ?? [];
  const rows = [INT8, INT4].flatMap((side) =>
    workloads.map((workload) => {
      const { name } = workload;
      const ours = values(side, name);
      const hasAdapters = workload.kind === 'decode' && workload.withAdapters;
      const against = hasAdapters ? values(side, decodeName(workload.prompts.length)) : values(PEER, name);
      return [name, side, shown(ours), hasAdapters ? `${shown(against)} (own base)` : shown(against), ratio(ours, against)];
    }),
  );
  writeReport({
    part: 'decode',
    header: ['workload', 'ours', 'tokens/s, median (range)', 'against', 'ratio, median of rounds (range)'],
    rows,
    measurements: {
      rounds,
      unit: 'tokens/s',
      samples: Object.fromEntries([...samples].map(([side, bySide]) => [side, Object.fromEntries(bySide)])),
    },
    chart: barChart(
      'SmolLM2-135M-Instruct Q4_1',
      'tokens/s, medians',
      workloads.map(({ name }) => name),
      [...samples.keys()].map((side) => ({ name: side, values: workloads.map(({ name }) => medianOrNull(values(side, name))) })),
    ),
  });
}

function medianOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : summarise(values).median;
}

function shown(values: readonly number[]): string {
  const { median, smallest, largest } = summarise(values);
  return `${median.toFixed(0)} (${smallest.toFixed(0)}–${largest.toFixed(0)})`;
}

function ratio(ours: readonly number[], against: readonly number[]): string {
  const { median, smallest, largest } = pairedRatio(ours, against);
  return `${median.toFixed(2)} (${smallest.toFixed(2)}–${largest.toFixed(2)})`;
}
