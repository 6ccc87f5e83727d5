// The engine's scheduling under the traffic of `load` and `long-prompt`, in simulated time: the same on every machine, in seconds, without its noise.
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { latencyOf, shownLatency, type Latency } from './latency.ts';
import { LARGEST_STRETCH, type LongPromptWorkload } from './long-prompt.ts';
import { simulate } from './simulation.ts';
import { firstTokenMs, type StreamTimes, tokenGapsMs } from './timed-stream.ts';
import { planRequests, readWorkload, type ZipfWorkload } from './workload.ts';

const SEEDS = [1, 2, 3, 4];
/** How long calls take against those of a quiet machine, and what is then asked. */
const MACHINES = [
  { slowness: 1, firstTokenBoundMs: 250, betweenTokensBoundMs: 34, longFirstTokenBoundMs: 16_000 },
  { slowness: 1.6, firstTokenBoundMs: 700, betweenTokensBoundMs: 60, longFirstTokenBoundMs: 26_000 },
];
/** The steady rows decode so long before the long prompt comes. */
const BEFORE_MS = 2000;

export async function benchSchedule(): Promise<boolean> {
  const measurements: unknown[] = [];
  const checks: Check[] = [];
  for (const { slowness, firstTokenBoundMs, betweenTokensBoundMs, longFirstTokenBoundMs } of MACHINES) {
    const { firstToken, betweenTokens } = await traffic(slowness);
    const long = await longPrompt(slowness);
    measurements.push({ slowness, firstToken, betweenTokens, long });
    const machine = `${slowness} times quiet`;
    checks.push(
      p99Check(`time to first token, p50 / p99 / max, ${machine}`, firstToken, firstTokenBoundMs),
      p99Check(`time between tokens, p50 / p99 / max, ${machine}`, betweenTokens, betweenTokensBoundMs),
      {
        name: `long prompt: mean time between the others' tokens against before, ${machine}`,
        value: long.stretch.toFixed(2),
        bound: `${LARGEST_STRETCH}`,
        holds: long.stretch <= LARGEST_STRETCH,
      },
      {
        name: `long prompt: its first token, ${machine}`,
        value: `${(long.firstTokenMs / 1000).toFixed(1)} s`,
        bound: `${longFirstTokenBoundMs / 1000} s`,
        holds: long.firstTokenMs <= longFirstTokenBoundMs,
      },
    );
  }
  writeReport({ part: 'schedule', header: CHECK_HEADER, rows: checks.map(checkRow), measurements });
  return checks.every(({ holds }) => holds);
}

function p99Check(name: string, latency: Latency, boundMs: number): Check {
  return { name, value: shownLatency(latency), bound: `p99 ${boundMs} ms`, holds: latency.p99 <= boundMs };
}

async function traffic(slowness: number): Promise<{ readonly firstToken: Latency; readonly betweenTokens: Latency }> {
  const workload = readWorkload<ZipfWorkload>('zipf-64');
  const { adapterCount } = workload;
  const runs = await Promise.all(SEEDS.map((seed) => simulate(planRequests({ ...workload, seed }), { adapterCount, slowness })));
  const streams = runs.flat();
  return { firstToken: latencyOf(streams.map(firstTokenMs)), betweenTokens: latencyOf(streams.flatMap((stream) => tokenGapsMs(stream))) };
}

/** What a long prompt does to rows that decode, and when it is answered. */
async function longPrompt(slowness: number): Promise<{ readonly stretch: number; readonly firstTokenMs: number }> {
  const { steadyRows, steadyPromptTokens, longPromptTokens } = readWorkload<LongPromptWorkload>('long-prompt');
  const arrivesMs = 2 * BEFORE_MS * slowness;
  const steady = Array.from({ length: steadyRows }, () => ({
    atMs: 0,
    adapter: null,
    promptTokens: steadyPromptTokens,
    outputTokens: longPromptTokens,
  }));
  const long = { atMs: arrivesMs, adapter: null, promptTokens: longPromptTokens, outputTokens: 1 };
  const isEnough = (streams: readonly StreamTimes[]): boolean => (streams.at(-1)?.tokenAtMs.length ?? 0) > 0;
  const streams = await simulate([...steady, long], { adapterCount: 0, slowness, isEnough });
  const last = streams.at(-1);
  if (!last) throw new Error('the long prompt has no stream');
  const firstMs = firstTokenMs(last);
  const meanGapMs = (fromMs: number, toMs: number): number =>
    latencyOf(streams.slice(0, steadyRows).flatMap((stream) => tokenGapsMs(stream, fromMs, toMs))).mean;
  return {
    stretch: meanGapMs(arrivesMs, arrivesMs + firstMs) / meanGapMs(arrivesMs - BEFORE_MS * slowness, arrivesMs),
    firstTokenMs: firstMs,
  };
}
