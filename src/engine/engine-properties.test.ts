// The engine's laws over random histories of submissions, cancellations, steps, loads and faults. The harness checks the invariants
// after every action; here stand the laws about results: alone equals mixed, every request ends once, nobody waits for ever.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adapterSource, HeldAdapterSource } from '../../test/support/fake-adapters.ts';
import { EngineHarness, request } from '../../test/support/engine-harness.ts';
import { type Action, action, ADAPTERS, MERGING_ADAPTERS, type Shape } from '../../test/support/engine-histories.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens, fillHashLogits } from '../../test/support/fake-logits.ts';
import { HeldMerges } from '../../test/support/held-merges.ts';
import type { SessionCall } from './ports.ts';

const MAX_CONTEXT = 96;
const EXECUTOR = { fillLogits: fillCycleLogits };
/** Small enough that rows grow and give way to each other; a request alone always fits. */
const TIGHT_LIMITS = {
  smallestCapacity: 8,
  maxContext: MAX_CONTEXT,
  kvCacheBytes: 16 * 100,
  prefillChunk: 24,
  maxBatch: 5,
  maxWaiting: 100,
  speculation: 'prompt-lookup',
  // 12 blocks of the fake model's 16 bytes a position: chains are driven out while others still grow.
  prefixCacheBytes: 12 * 16 * 16,
  adapterHostBytes: 500,
  mergedMax: 1,
} as const;

interface Played {
  readonly harness: EngineHarness;
  readonly shapes: readonly Shape[];
  readonly cancelled: ReadonlySet<string>;
}

/** Plays a history on a tight engine, then lets every load succeed and runs until the engine rests. */
async function play(history: readonly Action[]): Promise<Played> {
  const source = new HeldAdapterSource(ADAPTERS);
  const harness = new EngineHarness({ executor: new FakeExecutor(EXECUTOR), adapters: source, limits: TIGHT_LIMITS });
  const merges = new HeldMerges(harness.executor);
  const shapes: Shape[] = [];
  const cancelled = new Set<string>();
  for (const step of history) await act(step);
  for (let round = 0; harness.engine.snapshot().liveCount > 0; round += 1) {
    // Each request needs far fewer; more means that somebody starves.
    if (round > 200 * (shapes.length + 1)) throw new Error('a request waits for ever');
    for (const digest of source.pending) source.succeed(digest);
    merges.settle(null);
    await settle();
    harness.step();
  }
  return { harness, shapes, cancelled };

  async function act(step: Action): Promise<void> {
    switch (step.kind) {
      case 'submit':
        harness.submit(request(`r${shapes.length}`, step.shape));
        shapes.push(step.shape);
        return;
      case 'cancel':
        cancelled.add(`r${step.index}`);
        harness.cancel(`r${step.index}`);
        return;
      case 'steps':
        for (let count = 0; count < step.count; count += 1) harness.step();
        return;
      case 'fault': {
        let pending = true;
        harness.executor.faults = () => {
          const error = pending ? new Error('a fault') : null;
          pending = false;
          return error;
        };
        return;
      }
      case 'place': {
        const placed = MERGING_ADAPTERS[step.index];
        harness.engine.place(placed ? [[placed.digest, step.mode]] : []);
        harness.check();
        return;
      }
      case 'merge':
        merges.settle(step.succeeds ? null : new Error('no room'));
        await settle();
        harness.check();
        return;
      case 'load': {
        const digest = source.pending[step.index];
        if (digest === undefined) return;
        if (step.succeeds) source.succeed(digest);
        else source.fail(digest, new Error('a damaged file'));
        await settle();
        harness.check();
      }
    }
  }
}

async function settle(): Promise<void> {
  await new Promise(setImmediate);
}

/** The same request with the engine to itself and memory to spare. */
async function playAlone(alone: Shape): Promise<EngineHarness> {
  const limits = { maxContext: MAX_CONTEXT, prefixCacheBytes: 0 };
  const harness = new EngineHarness({ executor: new FakeExecutor(EXECUTOR), adapters: adapterSource(ADAPTERS), limits });
  harness.submit(request('alone', alone));
  await harness.run();
  return harness;
}

/** Events without the request's name. */
const anonymous = (harness: EngineHarness, id: string): readonly unknown[] =>
  harness
    .eventsOf(id)
    // What the cache had depends on the neighbours, and is no part of the result.
    .filter(({ kind }) => kind !== 'prefix-hit')
    .map((event) => ({ ...event, id: '' }));

/** Mostly a cycle of nine tokens, so that drafts often agree; the hash of the history breaks it now and then. */
function fillCycleLogits(line: Float32Array, history: readonly number[], adapterKey: number): void {
  fillHashLogits(line, history, adapterKey);
  const before = history.at(-9);
  if (before !== undefined) line[before] = (line[before] ?? 0) + 6;
}

async function expectAsAlone({ harness, shapes, cancelled }: Played): Promise<void> {
  for (const [index, each] of shapes.entries()) {
    const id = `r${index}`;
    const mixed = anonymous(harness, id);
    const alone = anonymous(await playAlone(each), 'alone');
    const cutShort = cancelled.has(id) && harness.endOf(id) === 'finished cancelled';
    const wanted = cutShort ? [...alone.slice(0, mixed.length - 1), { kind: 'finished', id: '', reason: 'cancelled' }] : alone;
    expect(mixed).toEqual(wanted);
  }
  expectNothingHeld(harness);
}

function expectNothingHeld(harness: EngineHarness): void {
  const stats = harness.engine.stats();
  expect(stats).toMatchObject({ runningRequests: 0, waitingRequests: 0, kvPositionsReserved: 0, liveHandles: 0 });
  expect(stats.adapters.every(({ leases }) => leases === 0)).toBe(true);
  harness.engine.close();
}

describe('the engine, over random histories', () => {
  it('gives each request in any mix exactly the events that it has alone, up to its cancellation', async () => {
    const met = { preemptions: 0, prefixHitTokens: 0, acceptedDraftTokens: 0, refusedDraftTokens: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(action({ faults: false, merges: false }), { minLength: 10, maxLength: 40 }), async (history) => {
        const { harness, shapes, cancelled } = await play(history);
        const { preemptions, prefixHitTokens, draftTokens, acceptedDraftTokens } = harness.engine.stats();
        met.preemptions += preemptions;
        met.prefixHitTokens += prefixHitTokens;
        met.acceptedDraftTokens += acceptedDraftTokens;
        met.refusedDraftTokens += draftTokens - acceptedDraftTokens;
        await expectAsAlone({ harness, shapes, cancelled });
      }),
      { seed: 6, numRuns: 500 },
    );
    // The histories must have met what they are about.
    for (const [what, count] of Object.entries(met)) expect(count, `${what}`).toBeGreaterThan(500);
  }, 120_000);

  it('gives each request the same while adapters are merged and rows change sides', async () => {
    const met = { mergedCalls: 0, rowMoves: 0, promotions: 0, demotions: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(action({ faults: false, merges: true }), { minLength: 40, maxLength: 80 }), async (history) => {
        const played = await play(history);
        const { mergedCalls, mergePromotions, mergeDemotions } = played.harness.engine.stats();
        met.mergedCalls += mergedCalls;
        met.rowMoves += played.harness.executor.moveCount;
        met.promotions += mergePromotions;
        met.demotions += mergeDemotions;
        await expectAsAlone(played);
      }),
      { seed: 8, numRuns: 150 },
    );
    // The histories must have met what they are about.
    expect(met.mergedCalls).toBeGreaterThan(5000);
    expect(met.rowMoves).toBeGreaterThan(50);
    expect(Math.min(met.promotions, met.demotions)).toBeGreaterThan(200);
  }, 120_000);

  it('ends every request exactly once and holds nothing afterwards, whatever fails', async () => {
    const failures = new Set<string | null>();
    await fc.assert(
      fc.asyncProperty(fc.array(action({ faults: true, merges: true }), { maxLength: 60 }), async (history) => {
        const { harness, shapes } = await play(history);
        for (const index of shapes.keys()) {
          const ends = harness.eventsOf(`r${index}`).filter(({ kind }) => kind === 'finished' || kind === 'failed');
          expect(ends).toHaveLength(1);
          failures.add(harness.endOf(`r${index}`));
        }
        expectNothingHeld(harness);
      }),
      { seed: 7, numRuns: 150 },
    );
    // The histories must have met what they are about.
    expect(failures).toEqual(new Set(['failed generation_failed', 'finished cancelled', 'finished length', 'finished stop-token']));
  });

  it('would notice rows that are mixed up: an executor that swaps two of them changes the results', async () => {
    const swapped = new EngineHarness({ executor: new SwappingExecutor() });
    for (const [index, id] of ['a', 'b'].entries()) swapped.submit(request(id, { promptTokenIds: [index], maxNewTokens: 8 }));
    await swapped.run();
    expect(swapped.tokensOf('a')).not.toEqual(fakeGreedyTokens([0], null, 8));
  });
});

/** Answers the rows that decode with their lines in reverse order. */
class SwappingExecutor extends FakeExecutor {
  override run(call: SessionCall): Float32Array {
    const logits = super.run(call);
    if (call.kind === 'prefill') return logits;
    const { vocabularySize } = this.shape;
    const { rows } = call.kind === 'mixed' ? call.decode : call;
    const lines = rows.map((_, index) => logits.slice(index * vocabularySize, (index + 1) * vocabularySize));
    const ofChunk = logits.slice(rows.length * vocabularySize);
    return Float32Array.from([...lines.reverse(), ofChunk].flatMap((line) => [...line]));
  }
}
