// The engine's scheduling under the traffic of `load`, in simulated time: the same on every machine, in seconds, without its noise.
import { request } from '../../support/engine-harness.ts';
import { adapterSource, fakeAdapter } from '../../support/fake-adapters.ts';
import { TEST_LIMITS } from '../../support/in-process-engine.ts';
import { loadSettings } from '../../../src/config/index.ts';
import { type Clock, silentLogger } from '../../../src/core/index.ts';
import { Engine, type EngineEvent } from '../../../src/engine/index.ts';
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { latencyOf, shownLatency, type Latency } from './latency.ts';
import { LanedExecutor } from './laned-executor.ts';
import { firstTokenMs, type StreamTimes, tokenGapsMs } from './timed-stream.ts';
import { planRequests, readWorkload, type ZipfWorkload } from './workload.ts';

const SEEDS = [1, 2, 3, 4];
const LANES = 16;
/** Between two steps: sampling, events, messages. */
const STEP_MS = 0.7;
/** How long calls take against those of a quiet machine, and what is then asked at p99. */
const MACHINES = [
  { slowness: 1, firstTokenBoundMs: 250, betweenTokensBoundMs: 55 },
  { slowness: 1.6, firstTokenBoundMs: 750, betweenTokensBoundMs: 95 },
];

interface Simulated {
  readonly slowness: number;
  readonly firstToken: Latency;
  readonly betweenTokens: Latency;
}

export async function benchSchedule(): Promise<boolean> {
  const workload = readWorkload<ZipfWorkload>('zipf-64');
  const measurements: Simulated[] = [];
  const checks: Check[] = [];
  for (const { slowness, firstTokenBoundMs, betweenTokensBoundMs } of MACHINES) {
    const streams = (await Promise.all(SEEDS.map((seed) => simulate({ ...workload, seed }, slowness)))).flat();
    const firstToken = latencyOf(streams.map(firstTokenMs));
    const betweenTokens = latencyOf(streams.flatMap((stream) => tokenGapsMs(stream)));
    measurements.push({ slowness, firstToken, betweenTokens });
    checks.push(p99Check(`time to first token, p50 / p99 / max, ${slowness} times quiet`, firstToken, firstTokenBoundMs));
    checks.push(p99Check(`time between tokens, p50 / p99 / max, ${slowness} times quiet`, betweenTokens, betweenTokensBoundMs));
  }
  writeReport({ part: 'schedule', header: CHECK_HEADER, rows: checks.map(checkRow), measurements });
  return checks.every(({ holds }) => holds);
}

function p99Check(name: string, latency: Latency, boundMs: number): Check {
  return { name, value: shownLatency(latency), bound: `p99 ${boundMs} ms`, holds: latency.p99 <= boundMs };
}

/** The times of each request. */
async function simulate(workload: ZipfWorkload, slowness: number): Promise<readonly StreamTimes[]> {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs, monotonic: () => nowMs };
  const executor = new LanedExecutor(LANES, (ms) => (nowMs += ms * slowness));
  const adapters = Array.from({ length: workload.adapterCount }, (_, index) => fakeAdapter(index + 1));
  const events: EngineEvent[] = [];
  const { maxStretch } = loadSettings({ flags: {}, environment: process.env, folder: import.meta.dirname }).settings;
  const limits = {
    ...TEST_LIMITS,
    maxBatch: LANES,
    maxContext: 8192,
    maxWaiting: 1000,
    kvCacheBytes: 1 << 30,
    prefillChunk: 128,
    maxStretch,
    adapterHostBytes: 1 << 30,
    // Costs are those beside the base.
    mergedMax: 0,
  };
  const engine = new Engine(
    { executor, adapters: adapterSource(adapters), clock, logger: silentLogger, emit: (some) => events.push(...some) },
    limits,
  );
  const planned = planRequests(workload);
  const tokensAtMs = new Map<string, number[]>();
  let sent = 0;
  while (sent < planned.length || engine.stats().runningRequests + engine.stats().waitingRequests > 0) {
    for (let next = planned[sent]; next && next.atMs <= nowMs; next = planned[++sent]) {
      const promptTokenIds = Array.from(
        { length: next.promptTokens },
        (_, index) => (index * 7 + sent * 13) % executor.shape.vocabularySize,
      );
      const adapterDigest = adapters[next.adapter]?.digest ?? null;
      engine.submit(request(String(sent), { promptTokenIds, maxNewTokens: next.outputTokens, adapterDigest }));
    }
    const isIdle = engine.step().kind === 'idle';
    nowMs = isIdle ? Math.min(nowMs + 1, planned[sent]?.atMs ?? Infinity) : nowMs + STEP_MS;
    for (const { kind, id } of events.splice(0)) {
      if (kind === 'failed') throw new Error(`request ${id} failed in the simulation`);
      if (kind === 'token') tokensAtMs.set(id, [...(tokensAtMs.get(id) ?? []), nowMs]);
    }
    // Adapters load between steps.
    await new Promise(setImmediate);
  }
  return planned.map(({ atMs }, index) => ({ sentAtMs: atMs, tokenAtMs: tokensAtMs.get(String(index)) ?? [] }));
}
