// The real engine over a fake executor with measured costs, in simulated time: what each request's stream would look like.
import { request } from '../../support/engine-harness.ts';
import { adapterSource, type FakeAdapter, fakeAdapter } from '../../support/fake-adapters.ts';
import { TEST_LIMITS } from '../../support/in-process-engine.ts';
import { loadSettings } from '../../../src/config/index.ts';
import { type Clock, type Digest, silentLogger } from '../../../src/core/index.ts';
import { Engine, type EngineEvent } from '../../../src/engine/index.ts';
import { LanedExecutor } from './laned-executor.ts';
import type { StreamTimes } from './timed-stream.ts';

const LANES = 16;
/** Between two steps: sampling, events, messages. */
const STEP_MS = 0.7;

export interface SimulatedRequest {
  readonly atMs: number;
  /** From 0; null: the base. */
  readonly adapter: number | null;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** The times of each request, in order. `slowness` is how long calls take against those of a quiet machine; it ends when `isEnough` or nothing is left. */
export async function simulate(
  requests: readonly SimulatedRequest[],
  { adapterCount, slowness, isEnough = () => false }: SimulationOptions,
): Promise<readonly StreamTimes[]> {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs, monotonic: () => nowMs };
  const executor = new LanedExecutor(LANES, (ms) => (nowMs += ms * slowness));
  const adapters = Array.from({ length: adapterCount }, (_, index) => fakeAdapter(index + 1));
  const events: EngineEvent[] = [];
  const engine = new Engine(
    { executor, adapters: adapterSource(adapters), clock, logger: silentLogger, emit: (some) => events.push(...some) },
    limits(),
  );
  const streams = requests.map(({ atMs }): { sentAtMs: number; tokenAtMs: number[] } => ({ sentAtMs: atMs, tokenAtMs: [] }));
  let sent = 0;
  const isBusy = (): boolean => engine.stats().runningRequests + engine.stats().waitingRequests > 0;
  while (!isEnough(streams) && (sent < requests.length || isBusy())) {
    for (let next = requests[sent]; next && next.atMs <= nowMs; next = requests[++sent]) {
      const promptTokenIds = promptOf(next, sent, executor.shape.vocabularySize);
      const adapterDigest = digestOf(next, adapters);
      engine.submit(request(String(sent), { promptTokenIds, maxNewTokens: next.outputTokens, adapterDigest }));
    }
    const isIdle = engine.step().kind === 'idle';
    nowMs = isIdle ? Math.min(nowMs + 1, requests[sent]?.atMs ?? Infinity) : nowMs + STEP_MS;
    for (const id of tokensOf(events.splice(0))) streams[Number(id)]?.tokenAtMs.push(nowMs);
    // Adapters load between steps.
    await new Promise(setImmediate);
  }
  return streams;
}

/** Ids of the requests that got a token. */
function tokensOf(events: readonly EngineEvent[]): readonly string[] {
  const failed = events.find(({ kind }) => kind === 'failed');
  if (failed) throw new Error(`request ${failed.id} failed in the simulation`);
  return events.filter(({ kind }) => kind === 'token').map(({ id }) => id);
}

interface SimulationOptions {
  readonly adapterCount: number;
  readonly slowness: number;
  readonly isEnough?: (streams: readonly StreamTimes[]) => boolean;
}

function digestOf({ adapter }: SimulatedRequest, adapters: readonly FakeAdapter[]): Digest | null {
  return adapter === null ? null : (adapters[adapter]?.digest ?? null);
}

/** No two begin alike: nothing comes from the prefix cache. */
function promptOf({ promptTokens }: SimulatedRequest, index: number, vocabularySize: number): readonly number[] {
  return Array.from({ length: promptTokens }, (_, position) => (position * 7 + index * 13) % vocabularySize);
}

function limits() {
  const { maxStretch, prefillChunk } = loadSettings({ flags: {}, environment: process.env, folder: import.meta.dirname }).settings;
  return {
    ...TEST_LIMITS,
    maxBatch: LANES,
    maxContext: 8192,
    maxWaiting: 1000,
    kvCacheBytes: 1 << 30,
    prefillChunk,
    maxStretch,
    adapterHostBytes: 1 << 30,
    // Costs are those beside the base.
    mergedMax: 0,
  };
}
