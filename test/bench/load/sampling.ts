// What choosing tokens costs: time for each token of streams through HTTP, by sampling parameters, against greedy ones in turns.
import { pairedRatio, shown, summarise } from '../report/statistics.ts';
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import type { BenchOptions } from '../options.ts';
import { rowsName } from '../speed/workloads.ts';
import { type SubjectServer, withSubjectServer } from './subject-server.ts';
import { eventTimes } from './timed-stream.ts';

const ROW_COUNTS = [1, 8, 16];
const PROMPT_TOKENS = 32;
const OUTPUT_TOKENS = 100;
const GREEDY = 'greedy';
const MODES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  [GREEDY]: { temperature: 0 },
  'greedy, log probabilities with the 5 best': { temperature: 0, logprobs: 5 },
  'temperature 1': { temperature: 1, seed: 1 },
  'temperature 0.7, top-p 0.9': { temperature: 0.7, top_p: 0.9, seed: 1 },
  'temperature 0.7, top-k 50, min-p 0.05': { temperature: 0.7, top_k: 50, min_p: 0.05, seed: 1 },
};
/** Of the time for a token, against greedy streams of the same round. */
const LARGEST_RATIO = 1.4;

export async function benchSampling({ rounds }: BenchOptions): Promise<boolean> {
  const cells = new Map<string, number[]>();
  const cell = (mode: string, rows: number): number[] => {
    const key = `${rowsName(rows)}, ${mode}`;
    const known = cells.get(key) ?? [];
    cells.set(key, known);
    return known;
  };
  await withSubjectServer(async (server) => {
    for (let round = 0; round < rounds; round += 1)
      for (const rows of ROW_COUNTS)
        for (const [mode, parameters] of Object.entries(MODES)) cell(mode, rows).push(await tokenMs(server, rows, parameters));
  });
  const checks = ROW_COUNTS.flatMap((rows) =>
    Object.keys(MODES)
      .filter((mode) => mode !== GREEDY)
      .map((mode): Check => {
        const ratio = pairedRatio(cell(mode, rows), cell(GREEDY, rows));
        const name = `${rowsName(rows)}: ${mode}, ${summarise(cell(mode, rows)).median.toFixed(1)} ms a token, times greedy`;
        return { name, value: shown(ratio, 2), bound: `${LARGEST_RATIO}`, holds: ratio.median <= LARGEST_RATIO };
      }),
  );
  writeReport({
    part: 'sampling',
    header: CHECK_HEADER,
    rows: checks.map(checkRow),
    notes: ROW_COUNTS.map((rows) => `greedy, ${rowsName(rows)}: ${summarise(cell(GREEDY, rows)).median.toFixed(1)} ms a token`),
    measurements: { rounds, unit: 'ms a token of each stream', samples: Object.fromEntries(cells) },
  });
  return checks.every(({ holds }) => holds);
}

/** Mean over the streams of the time from their first token to their last, for each token. */
async function tokenMs({ api, base, prompt }: SubjectServer, rows: number, parameters: Readonly<Record<string, unknown>>): Promise<number> {
  const perStream = await Promise.all(
    Array.from({ length: rows }, async (_, row) => {
      const body = {
        model: base.id,
        prompt: prompt(row / rows, PROMPT_TOKENS),
        max_tokens: OUTPUT_TOKENS,
        ignore_eos: true,
        ...parameters,
      };
      const times: number[] = [];
      for await (const atMs of eventTimes(api, body)) times.push(atMs);
      return ((times.at(-1) ?? NaN) - (times[0] ?? NaN)) / (OUTPUT_TOKENS - 1);
    }),
  );
  return perStream.reduce((sum, ms) => sum + ms, 0) / rows;
}
