// Which adapters are merged now, and which rows they compute. Carries out the policy of `scheduler/`: one adapter at a time is prepared and
// loaded while everything else goes on, and rows change sides between decode calls, few at a time.
import { describeError, type Digest, isAppError } from '../core/index.ts';
import { fail } from './leave.ts';
import type { MergedReading } from './messages.ts';
import { recordMove } from './scheduler/costs.ts';
import { afterAction, allows, remainingMs } from './scheduler/interlude.ts';
import { ENTER_RATIO, type GainRow, LEAVE_RATIO, splitRatio } from './scheduler/merge-gain.ts';
import { MAX_GAIN_MS, type MergeStep, type MergeView, nextMergeStep, type Placement } from './scheduler/merge-policy.ts';
import { countRows } from './scheduler/plan.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** A failed merge is not tried again for so long; requests without another way fail with its reason. */
const RETRY_MS = 30_000;
/** Credits count time in which the engine works; an idle hour is none. */
const LONGEST_TICK_MS = 1000;
/** Of adapters placed as merged, so many are looked at before each step. */
const MAX_PLACED = 64;

const MERGES_NONE =
  'the adapter replaces whole tensors of the base, which only a merged model can hold, and this server merges none (mergedMax is 0)';

/** One adapter that is merged, may become so, or was said to be. */
interface Entry {
  readonly digest: Digest;
  mergedOnly: boolean;
  phase: MergeView['phase'];
  /** Of the weights that are its own; 0 without a session. */
  bytes: number;
  /** Rows are computed by its session while it has one. */
  serves: boolean;
  gainMs: number;
  waitedMs: number;
  lastUsedMs: number;
  failure: { readonly message: string; readonly untilMs: number } | null;
}

export class Merging {
  readonly #entries = new Map<Digest, Entry>();
  #placements: ReadonlyMap<Digest, Placement> = new Map();
  readonly mergedMax: number;
  #lastTickMs: number | null = null;
  promotions = 0;
  demotions = 0;
  failures = 0;

  constructor(mergedMax: number) {
    this.mergedMax = mergedMax;
  }

  /** Exactly these adapters have a placement other than `auto` from now on. */
  place(placements: readonly (readonly [digest: Digest, placement: Placement])[]): void {
    this.#placements = new Map(placements);
    const merged = placements.filter(([, placement]) => placement === 'merged');
    for (const [digest] of merged.slice(0, MAX_PLACED)) this.#entry(digest);
  }

  /** The merged adapter that a row of this request is to be computed by; null: the base's session. */
  wayOf(sequence: Sequence): Digest | null {
    const digest = sequence.request.adapterDigest;
    const entry = digest === null ? undefined : this.#entries.get(digest);
    if (entry === undefined) return null;
    if (sequence.isMergedOnly) return hasSession(entry) ? entry.digest : null;
    return entry.phase === 'merged' && entry.serves ? entry.digest : null;
  }

  /** It has no side path, and its adapter is not merged, or is about to give its place to another. */
  awaitsMerge({ request, isMergedOnly }: Sequence): boolean {
    return isMergedOnly && (request.adapterDigest === null || this.#entries.get(request.adapterDigest)?.phase !== 'merged');
  }

  list(): readonly MergedReading[] {
    return [...this.#entries.values()].flatMap(({ digest, phase, bytes }) => (phase === 'side' ? [] : [{ digest, phase, bytes }]));
  }

  /** To be called before each step. `settled` is called when work that went on elsewhere has ended. */
  tick(state: EngineState, settled: () => void): void {
    const demand = demandOf(state);
    this.#account(state, demand);
    if (this.#entries.size === 0) return;
    for (const sequence of state.waiting) if (sequence.isMergedOnly) this.#failUnmergeable(state, sequence);
    const nowMs = state.dependencies.clock.monotonic();
    const next = (): MergeStep | null =>
      nextMergeStep(
        [...this.#entries.values()].map((entry) => this.#viewOf(entry, demand.get(entry.digest) ?? 0, nowMs)),
        this.mergedMax,
      );
    this.#dropRetired(state);
    for (let step = next(); step !== null; step = next()) {
      this.#take(state, step, settled);
      this.#dropRetired(state);
    }
    this.#moveRows(state);
  }

  #entry(digest: Digest): Entry {
    const known = this.#entries.get(digest);
    if (known !== undefined) return known;
    const entry: Entry = {
      digest,
      mergedOnly: false,
      phase: 'side',
      bytes: 0,
      serves: false,
      gainMs: 0,
      waitedMs: 0,
      lastUsedMs: 0,
      failure: null,
    };
    this.#entries.set(digest, entry);
    return entry;
  }

  /** Credits by the time since the last step, and which way is the faster now. */
  #account(state: EngineState, demand: ReadonlyMap<Digest, number>): void {
    const nowMs = state.dependencies.clock.monotonic();
    const elapsedMs = Math.min(LONGEST_TICK_MS, nowMs - (this.#lastTickMs ?? nowMs));
    this.#lastTickMs = nowMs;
    const rows = gainRows(state);
    this.#note(state, rows, nowMs);
    for (const entry of this.#entries.values()) {
      const count = demand.get(entry.digest) ?? 0;
      const placement = this.#placementOf(entry.digest);
      forgive(entry, nowMs);
      entry.waitedMs = isKeptWaiting(entry, count) ? entry.waitedMs + elapsedMs : 0;
      if (rows.length > 0) judge(entry, placement, splitRatio(state.decodeCosts, entry.digest, rows), elapsedMs);
      if (isIdle(entry) && placement !== 'merged' && count === 0) this.#entries.delete(entry.digest);
    }
  }

  /** Who has rows, and who waits without another way. */
  #note({ waiting }: EngineState, rows: readonly GainRow[], nowMs: number): void {
    for (const { isMergedOnly, request } of waiting)
      if (isMergedOnly && request.adapterDigest !== null) this.#entry(request.adapterDigest).mergedOnly = true;
    if (this.mergedMax === 0) return;
    for (const { adapterDigest } of rows) if (adapterDigest !== null) this.#entry(adapterDigest).lastUsedMs = nowMs;
  }

  #placementOf(digest: Digest): Placement {
    return this.#placements.get(digest) ?? 'auto';
  }

  #viewOf({ digest, mergedOnly, phase, gainMs, waitedMs, lastUsedMs }: Entry, demand: number, nowMs: number): MergeView {
    return { digest, placement: this.#placementOf(digest), mergedOnly, demand, phase, gainMs, waitedMs, idleMs: nowMs - lastUsedMs };
  }

  #failUnmergeable(state: EngineState, sequence: Sequence): void {
    const { adapterDigest } = sequence.request;
    const failure = adapterDigest === null ? null : (this.#entries.get(adapterDigest)?.failure ?? null);
    if (this.mergedMax === 0) fail(state, sequence, 'unsupported_adapter', MERGES_NONE);
    else if (failure !== null) fail(state, sequence, 'generation_failed', failure.message);
  }

  #take(state: EngineState, { kind, digest }: MergeStep, settled: () => void): void {
    const entry = this.#entry(digest);
    switch (kind) {
      case 'prepare':
        entry.phase = 'preparing';
        this.#follow(state, entry, state.executor.prepareMerged(digest), () => (entry.phase = 'prepared'), settled);
        return;
      case 'load':
        entry.phase = 'loading';
        this.#follow(state, entry, state.executor.loadMerged(digest), (bytes) => this.#settleLoad(state, entry, bytes), settled);
        return;
      case 'forget':
        entry.phase = 'side';
        state.executor.dropMerged(digest);
        return;
      case 'retire':
        entry.phase = 'retiring';
        entry.serves = false;
    }
  }

  #follow<Result>(state: EngineState, entry: Entry, work: Promise<Result>, done: (result: Result) => void, settled: () => void): void {
    void work
      .then(done, (error: unknown) => {
        const { clock, logger } = state.dependencies;
        logger.error({ digest: entry.digest, error: describeError(error) }, 'merging an adapter failed');
        const reason = isAppError(error) ? error.message : 'its merged weights could not be made or loaded';
        entry.phase = 'failed';
        entry.failure = { message: `the adapter could not be merged: ${reason}`, untilMs: clock.monotonic() + RETRY_MS };
        this.failures += 1;
      })
      .then(settled);
  }

  #settleLoad({ dependencies }: EngineState, entry: Entry, bytes: number): void {
    entry.phase = 'merged';
    entry.bytes = bytes;
    entry.serves = true;
    entry.lastUsedMs = dependencies.clock.monotonic();
    this.promotions += 1;
    dependencies.logger.info({ digest: entry.digest, bytes }, 'an adapter is merged');
  }

  #dropRetired(state: EngineState): void {
    for (const entry of this.#entries.values()) {
      if (entry.phase !== 'retiring' || isUsed(state, entry.digest)) continue;
      entry.phase = 'side';
      entry.bytes = 0;
      this.demotions += 1;
      state.executor.dropMerged(entry.digest);
      state.dependencies.logger.info({ digest: entry.digest }, 'an adapter is not merged any more');
    }
  }

  /** Rows whose way has changed move, as many as fit between two decode calls; at least one does. */
  #moveRows(state: EngineState): void {
    for (const sequence of state.running.values()) {
      const { row } = sequence;
      const way = this.wayOf(sequence);
      if (row === null || row.merged === way) continue;
      const rows = [...state.running.values()].flatMap((other) => other.row ?? []);
      const leftMs = remainingMs(state.interlude, state.limits.maxStretch, countRows(rows, 0));
      if (!allows(state.interlude, leftMs, state.costs.moveMs)) return;
      moveRow(state, sequence, row, way);
    }
  }
}

function moveRow(state: EngineState, sequence: Sequence, row: Row, way: Digest | null): void {
  const { clock, logger } = state.dependencies;
  const startedMs = clock.monotonic();
  try {
    state.executor.moveRow(row.id, sequence.residence?.adapter ?? null, way, row.cachedPositions);
    row.merged = way;
  } catch (error) {
    logger.error({ requestId: sequence.id, error: describeError(error) }, 'moving a row failed');
    fail(state, sequence, 'generation_failed', 'the request could not be moved to or from a merged adapter');
  }
  const ms = clock.monotonic() - startedMs;
  recordMove(state.costs, ms);
  state.interlude = afterAction(state.interlude, ms);
}

function judge(entry: Entry, placement: Placement, ratio: number | null, elapsedMs: number): void {
  if (ratio === null || ratio >= LEAVE_RATIO) entry.gainMs = Math.max(0, entry.gainMs - elapsedMs);
  else if (ratio <= ENTER_RATIO) entry.gainMs = Math.min(MAX_GAIN_MS, entry.gainMs + elapsedMs);
  if (entry.phase !== 'merged') return;
  if (placement === 'merged' || entry.mergedOnly) entry.serves = true;
  else if (ratio !== null && ratio <= ENTER_RATIO) entry.serves = true;
  else if (ratio !== null && ratio >= LEAVE_RATIO) entry.serves = false;
}

function isKeptWaiting({ mergedOnly, phase }: Entry, demand: number): boolean {
  return mergedOnly && phase !== 'merged' && demand > 0;
}

/** A merge that failed is tried again after a while. */
function forgive(entry: Entry, nowMs: number): void {
  if (entry.failure === null || entry.failure.untilMs > nowMs) return;
  entry.failure = null;
  entry.phase = 'side';
}

function gainRows({ running }: EngineState): readonly GainRow[] {
  return [...running.values()].flatMap(({ request, row }) =>
    row === null ? [] : [{ capacity: row.capacity, adapterDigest: request.adapterDigest, merged: row.merged }],
  );
}

/** Requests by adapter. */
function demandOf({ sequences }: EngineState): ReadonlyMap<Digest, number> {
  const demand = new Map<Digest, number>();
  for (const { request } of sequences.values())
    if (request.adapterDigest !== null) demand.set(request.adapterDigest, (demand.get(request.adapterDigest) ?? 0) + 1);
  return demand;
}

function isUsed({ running }: EngineState, digest: Digest): boolean {
  return [...running.values()].some(({ row }) => row?.merged === digest);
}

function hasSession({ phase }: Entry): boolean {
  return phase === 'merged' || phase === 'retiring';
}

/** Nothing would be lost if it were forgotten. */
function isIdle({ phase, gainMs, failure }: Entry): boolean {
  return phase === 'side' && gainMs === 0 && failure === null;
}
