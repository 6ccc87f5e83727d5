// The whole engine over ONNX Runtime and the tiny model: whatever shares its calls, its cache and its memory, a request gets what it gets alone.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodePacked, encodePacked, type PackedAdapter } from '../../src/adapters/packed.ts';
import { type Clock, type Digest, parseDigest, silentLogger } from '../../src/core/index.ts';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import {
  Engine,
  type EngineEvent,
  type EngineLimits,
  type EngineStats,
  type GenerationRequest,
  type ModelExecutor,
} from '../../src/engine/index.ts';
import { ensureCompiled, importModel, type ModelPackage } from '../../src/models/index.ts';
import { request } from '../support/engine-harness.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { GREEDY_GAP } from '../support/tolerances.ts';

const SCHEDULES = 30;
const REQUESTS = 10;
const LIMITS: EngineLimits = {
  maxBatch: 5,
  maxContext: 160,
  maxWaiting: 100,
  prefillChunk: 24,
  maxStretch: 2,
  speculation: 'prompt-lookup',
  smallestCapacity: 32,
  // Of the tiny model's 512 bytes a position: room for some rows, and for 20 blocks of 16.
  kvCacheBytes: 512 * 300,
  prefixCacheBytes: 512 * 16 * 20,
  mergedMax: 1,
  adapterHostBytes: 1 << 24,
};

const folder = temporaryFolder();
let executor: ModelExecutor;
let adapters: ReadonlyMap<Digest, PackedAdapter>;

beforeAll(async () => {
  const base = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
  const model = await ensureCompiled(base, 'fp32');
  executor = createOrtExecutor({ model, threadCount: 1, allowSpinning: false, maxRows: LIMITS.maxBatch, maxContext: 256 });
  adapters = new Map([1, 2].map((seed) => [digestOf(seed), adapter(base, seed)]));
});

afterAll(() => executor.close());

function digestOf(seed: number): Digest {
  const digest = parseDigest(String(seed).repeat(64));
  if (digest === undefined) throw new Error('no digest');
  return digest;
}

function seeded(seed: number): (count: number) => number {
  let state = seed >>> 0;
  return (count) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * count);
  };
}

function adapter({ description }: ModelPackage, seed: number): PackedAdapter {
  const pick = seeded(seed);
  const values = (length: number): Float32Array => Float32Array.from({ length }, () => pick(1000) / 1000 - 0.5);
  const rank = 4 * seed;
  const sites = description.sites.filter(({ kind }) => kind === 'linear');
  const contents = sites.map(({ id, inFeatures, outFeatures }) => ({
    site: id,
    rank,
    a: values(inFeatures * rank),
    b: values(rank * outFeatures),
  }));
  return decodePacked(encodePacked(description.digest, contents));
}

/** Each reading is a little later, so that plans depend on costs, and the same in every run. */
function countingClock(): Clock {
  let readings = 0;
  return { now: () => 0, monotonic: () => (readings += 3) };
}

/** Prompts with shared beginnings, repetitions and duplicates. */
function randomRequest(pick: (count: number) => number, index: number): GenerationRequest {
  const length = 1 + pick(70);
  const beginning = pick(3) * 50;
  const promptTokenIds = Array.from({ length }, (_, at) => 3 + ((beginning + (at % 11) * 17) % 380));
  if (pick(2) === 0) promptTokenIds.push(3 + pick(380));
  return request(`r${index}`, {
    group: `tenant ${pick(2)}`,
    promptTokenIds,
    adapterDigest: [null, digestOf(1), digestOf(2)][pick(3)] ?? null,
    maxNewTokens: 1 + pick(60),
    logprobs: 2,
  });
}

type TokenEvent = EngineEvent & { readonly kind: 'token' };

interface Played {
  readonly tokens: ReadonlyMap<string, readonly TokenEvent[]>;
  readonly stats: EngineStats;
}

/** Submits requests between steps and runs to the end. */
async function play(requests: readonly GenerationRequest[], limits: EngineLimits, pick: (count: number) => number): Promise<Played> {
  const events: EngineEvent[] = [];
  const engine = new Engine(
    {
      executor: withoutClose(executor),
      adapters: { load: async (digest) => adapters.get(digest) ?? Promise.reject(new Error(`no adapter ${digest}`)) },
      clock: countingClock(),
      logger: silentLogger,
      emit: (batch) => events.push(...batch),
    },
    limits,
  );
  const waiting = [...requests];
  while (waiting.length > 0 || engine.snapshot().liveCount > 0) {
    if (pick(4) === 0) for (const next of waiting.splice(0, 1 + pick(3))) engine.submit(next);
    engine.step();
    await new Promise(setImmediate);
  }
  const stats = engine.stats();
  engine.close();
  expect(events.filter(({ kind }) => kind === 'failed')).toEqual([]);
  const tokensOf = (id: string): TokenEvent[] => events.filter((event): event is TokenEvent => event.kind === 'token' && event.id === id);
  return { tokens: new Map(requests.map(({ id }) => [id, tokensOf(id)])), stats };
}

/** Engines come and go on one executor. */
function withoutClose(target: ModelExecutor): ModelExecutor {
  return new Proxy(target, {
    get(_target, name: keyof ModelExecutor) {
      if (name === 'close') return () => undefined;
      const member = target[name];
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** Tokens up to the first that rounding may choose otherwise. */
function decided(events: readonly TokenEvent[]): readonly number[] {
  const close = events.findIndex(({ logprob }) => {
    const [best, second] = logprob?.top ?? [];
    return best !== undefined && second !== undefined && best[1] - second[1] < GREEDY_GAP;
  });
  return events.slice(0, close < 0 ? events.length : close).map(({ tokenId }) => tokenId);
}

describe('the engine on ONNX Runtime', () => {
  it(`gives the requests of ${SCHEDULES} random schedules the tokens that they get alone`, async () => {
    const met = { preemptions: 0, prefixHitTokens: 0, draftTokens: 0, decidedTokens: 0 };
    for (let seed = 1; seed <= SCHEDULES; seed += 1) {
      const pick = seeded(seed);
      const requests = Array.from({ length: REQUESTS }, (_, index) => randomRequest(pick, index));
      const { tokens, stats } = await play(requests, LIMITS, pick);
      for (const each of requests) {
        const alone = await play([each], { ...LIMITS, speculation: 'off', prefixCacheBytes: 0 }, () => 0);
        const wanted = decided(alone.tokens.get(each.id) ?? []);
        const got = (tokens.get(each.id) ?? []).map(({ tokenId }) => tokenId);
        expect(got.slice(0, wanted.length), `schedule ${seed}, request ${each.id}`).toEqual(wanted);
        met.decidedTokens += wanted.length;
      }
      met.preemptions += stats.preemptions;
      met.prefixHitTokens += stats.prefixHitTokens;
      met.draftTokens += stats.draftTokens;
    }
    // The schedules must have met what they are about.
    for (const [what, count] of Object.entries(met)) expect(count, `${what}`).toBeGreaterThan(10);
    expect(met.decidedTokens).toBeGreaterThan(SCHEDULES * REQUESTS * 10);
  });
});
