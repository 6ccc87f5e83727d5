// What a long prompt does to requests that decode beside it: their time between tokens while it is read, against before.
import { barChart } from '../report/chart.ts';
import { CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { latencyOf, shownLatency, type Latency } from './latency.ts';
import { withSubjectServer, type SubjectServer } from './subject-server.ts';
import { firstTokenMs, timedStream, tokenGapsMs, type StreamTimes } from './timed-stream.ts';
import { readWorkload } from './workload.ts';

export interface LongPromptWorkload {
  readonly about: string;
  readonly steadyRows: number;
  readonly steadyPromptTokens: number;
  /** Of each row, before the long prompt is sent. */
  readonly tokensBefore: number;
  readonly longPromptTokens: number;
}

/** Of the others' time between tokens. */
export const LARGEST_STRETCH = 2.5;
/** Tokens of each row that are not counted: the others still join. */
const SETTLING_TOKENS = 20;
/** More than a row can give while the long prompt is read; the rows are aborted then. */
const STEADY_OUTPUT_TOKENS = 4000;

interface Measured {
  readonly workload: LongPromptWorkload;
  readonly before: Latency;
  readonly during: Latency;
  readonly longFirstTokenMs: number;
}

export async function benchLongPrompt(): Promise<boolean> {
  const measured = await withSubjectServer((server) => measure(server, readWorkload<LongPromptWorkload>('long-prompt')));
  const { before, during, longFirstTokenMs, workload } = measured;
  const stretch = { median: during.p50 / before.p50, mean: during.mean / before.mean, p99: during.p99 / before.p99 };
  const holds = stretch.median <= LARGEST_STRETCH;
  writeReport({
    part: 'long-prompt',
    header: CHECK_HEADER,
    rows: [
      checkRow({ name: 'stretch of the median time between tokens', value: stretch.median.toFixed(2), bound: `${LARGEST_STRETCH}`, holds }),
      ['stretch of its mean', stretch.mean.toFixed(2), '', ''],
      ['stretch of its p99', stretch.p99.toFixed(2), '', ''],
      ['between tokens before, p50 / p99 / max', shownLatency(before), '', ''],
      ['between tokens during, p50 / p99 / max', shownLatency(during), '', ''],
      [`first token after ${workload.longPromptTokens} prompt tokens`, `${(longFirstTokenMs / 1000).toFixed(1)} s`, '', ''],
    ],
    measurements: { ...measured, stretch },
    chart: barChart(
      `${workload.steadyRows} rows while a prompt of ${workload.longPromptTokens} tokens is read`,
      'ms between tokens',
      ['p50', 'p99', 'max'],
      [
        { name: 'before', values: [before.p50, before.p99, before.max] },
        { name: 'during', values: [during.p50, during.p99, during.max] },
      ],
    ),
  });
  return holds;
}

async function measure({ api, base, prompt }: SubjectServer, workload: LongPromptWorkload): Promise<Measured> {
  const { steadyRows, steadyPromptTokens, tokensBefore, longPromptTokens } = workload;
  const abort = new AbortController();
  const settledAtMs: number[] = [];
  const streams: Promise<StreamTimes>[] = [];
  await new Promise<void>((resolve, reject) => {
    let waitingRows = steadyRows;
    const onToken = (count: number): void => {
      if (count === SETTLING_TOKENS) settledAtMs.push(performance.now());
      if (count !== tokensBefore) return;
      waitingRows -= 1;
      if (waitingRows === 0) resolve();
    };
    for (let row = 0; row < steadyRows; row += 1) {
      const wish = { model: base.id, prompt: prompt(row / steadyRows, steadyPromptTokens), outputTokens: STEADY_OUTPUT_TOKENS };
      const stream = timedStream(api, wish, { signal: abort.signal, onToken });
      stream.catch(reject);
      streams.push(stream);
    }
  });
  const long = await timedStream(api, { model: base.id, prompt: prompt(0.5, longPromptTokens), outputTokens: 1 });
  const endMs = performance.now();
  abort.abort();
  const times = await Promise.all(streams);
  const gaps = (fromMs: number, toMs: number): Latency => latencyOf(times.flatMap((stream) => tokenGapsMs(stream, fromMs, toMs)));
  return {
    workload,
    before: gaps(Math.max(...settledAtMs), long.sentAtMs),
    during: gaps(long.sentAtMs, endMs),
    longFirstTokenMs: firstTokenMs(long),
  };
}
