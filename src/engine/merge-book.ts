// What is known of adapters that are merged, may become so, or were placed by the operator: phases and credits. Acts on nothing itself.
import type { Digest } from '../core/index.ts';
import type { MergedReading } from './messages.ts';
import type { DecodeCosts } from './scheduler/decode-costs.ts';
import { ENTER_RATIO, type GainRow, LEAVE_RATIO, splitRatio } from './scheduler/merge-gain.ts';
import { MAX_GAIN_MS, type MergeView, type Placement } from './scheduler/merge-policy.ts';
import type { Sequence } from './sequence.ts';

/** Credits count time in which the engine works; an idle hour is none. */
const LONGEST_TICK_MS = 1000;
/** Of adapters placed as merged, so many are looked at before each step. */
const MAX_PLACED = 64;

export interface MergeEntry {
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

/** What the engine sees at one moment. */
export interface MergeMoment {
  readonly nowMs: number;
  readonly costs: DecodeCosts;
  readonly rows: readonly GainRow[];
  readonly waiting: Iterable<Sequence>;
  /** Requests that run or wait, by adapter. */
  readonly demand: ReadonlyMap<Digest, number>;
}

export class MergeBook {
  readonly mergedMax: number;
  readonly #entries = new Map<Digest, MergeEntry>();
  #placements: ReadonlyMap<Digest, Placement> = new Map();
  #lastTickMs: number | null = null;
  promotions = 0;
  demotions = 0;
  failures = 0;

  constructor(mergedMax: number) {
    this.mergedMax = mergedMax;
  }

  get entries(): Iterable<MergeEntry> {
    return this.#entries.values();
  }

  /** Exactly these adapters have a placement other than `auto` from now on. */
  place(placements: readonly (readonly [digest: Digest, placement: Placement])[]): void {
    this.#placements = new Map(placements);
    const merged = placements.filter(([, placement]) => placement === 'merged');
    for (const [digest] of merged.slice(0, MAX_PLACED)) this.entry(digest);
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

  /** As the policy sees them. */
  views({ demand, nowMs }: MergeMoment): readonly MergeView[] {
    return [...this.#entries.values()].map(({ digest, mergedOnly, phase, gainMs, waitedMs, lastUsedMs }) => ({
      digest,
      placement: this.#placementOf(digest),
      mergedOnly,
      demand: demand.get(digest) ?? 0,
      phase,
      gainMs,
      waitedMs,
      idleMs: nowMs - lastUsedMs,
    }));
  }

  failureOf(digest: Digest): string | null {
    return this.#entries.get(digest)?.failure?.message ?? null;
  }

  entry(digest: Digest): MergeEntry {
    const known = this.#entries.get(digest);
    if (known !== undefined) return known;
    const entry: MergeEntry = {
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
  account(moment: MergeMoment): void {
    const { nowMs, rows, costs, demand } = moment;
    const elapsedMs = Math.min(LONGEST_TICK_MS, nowMs - (this.#lastTickMs ?? nowMs));
    this.#lastTickMs = nowMs;
    this.#note(moment);
    for (const entry of this.#entries.values()) {
      const count = demand.get(entry.digest) ?? 0;
      const placement = this.#placementOf(entry.digest);
      forgive(entry, nowMs);
      entry.waitedMs = isKeptWaiting(entry, count) ? entry.waitedMs + elapsedMs : 0;
      if (rows.length > 0) judge(entry, placement, splitRatio(costs, entry.digest, rows), elapsedMs);
      if (isIdle(entry) && placement !== 'merged' && count === 0) this.#entries.delete(entry.digest);
    }
  }

  /** Who has rows, and who waits without another way. */
  #note({ waiting, rows, nowMs }: MergeMoment): void {
    for (const { isMergedOnly, request } of waiting)
      if (isMergedOnly && request.adapterDigest !== null) this.entry(request.adapterDigest).mergedOnly = true;
    if (this.mergedMax === 0) return;
    for (const { adapterDigest } of rows) if (adapterDigest !== null) this.entry(adapterDigest).lastUsedMs = nowMs;
  }

  #placementOf(digest: Digest): Placement {
    return this.#placements.get(digest) ?? 'auto';
  }
}

function judge(entry: MergeEntry, placement: Placement, ratio: number | null, elapsedMs: number): void {
  if (ratio === null || ratio >= LEAVE_RATIO) entry.gainMs = Math.max(0, entry.gainMs - elapsedMs);
  else if (ratio <= ENTER_RATIO) entry.gainMs = Math.min(MAX_GAIN_MS, entry.gainMs + elapsedMs);
  if (entry.phase !== 'merged') return;
  if (placement === 'merged' || entry.mergedOnly) entry.serves = true;
  else if (ratio !== null && ratio <= ENTER_RATIO) entry.serves = true;
  else if (ratio !== null && ratio >= LEAVE_RATIO) entry.serves = false;
}

function isKeptWaiting({ mergedOnly, phase }: MergeEntry, demand: number): boolean {
  return mergedOnly && phase !== 'merged' && demand > 0;
}

/** A merge that failed is tried again after a while. */
function forgive(entry: MergeEntry, nowMs: number): void {
  if (entry.failure === null || entry.failure.untilMs > nowMs) return;
  entry.failure = null;
  entry.phase = 'side';
}

function hasSession({ phase }: MergeEntry): boolean {
  return phase === 'merged' || phase === 'retiring';
}

/** Nothing would be lost if it were forgotten. */
function isIdle({ phase, gainMs, failure }: MergeEntry): boolean {
  return phase === 'side' && gainMs === 0 && failure === null;
}
