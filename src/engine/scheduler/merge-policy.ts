// Which adapters get a merged session, and which lose theirs. A pure policy over small records: need, credits, least recent use.
import type { Digest } from '../../core/index.ts';

/** What the operator wants; `auto` leaves it to measured costs. */
export type Placement = 'auto' | 'side' | 'merged';

export interface MergeView {
  readonly digest: Digest;
  readonly placement: Placement;
  /** It has no side path: its requests wait until it is merged. */
  readonly mergedOnly: boolean;
  /** Requests that run or wait. */
  readonly demand: number;
  /**
   * `preparing`: its files are being made; `prepared`: they are there; `loading`: its session is being made; `merged`: it has one;
   * `retiring`: it has one that takes no new rows. `failed` lately: it is not tried again yet.
   */
  readonly phase: 'side' | 'preparing' | 'prepared' | 'loading' | 'merged' | 'retiring' | 'failed';
  /** Credit of the time in which merged calls were, or would have been, the faster way, less that in which they were not. */
  readonly gainMs: number;
  /** Credit of the time that requests without another way have waited for a place. */
  readonly waitedMs: number;
  /** Time since a row of it ran. */
  readonly idleMs: number;
}

export interface MergeStep {
  readonly kind: 'prepare' | 'forget' | 'load' | 'retire';
  readonly digest: Digest;
}

/** Merging costs seconds of a core: the gain must have lasted that long. Credit is kept up to three times that. */
export const PROMOTE_GAIN_MS = 10_000;
export const MAX_GAIN_MS = 30_000;
/** An adapter without a side path that waits this long takes the place of another one that still has rows; those finish first. */
export const STARVED_MS = 3000;
/** Of more placed adapters than there are places, one that was idle so long gives its place to one that has requests. */
export const PLACED_IDLE_MS = 30_000;

/** The one thing to do next, if any. One adapter is prepared and loaded at a time; what runs meanwhile goes on. */
export function nextMergeStep(views: readonly MergeView[], mergedMax: number): MergeStep | null {
  const leaving = views.find((view) => view.phase === 'merged' && mustLeave(view));
  if (leaving) return { kind: 'retire', digest: leaving.digest };
  if (mergedMax === 0 || views.some(({ phase }) => phase === 'preparing' || phase === 'loading')) return null;
  const prepared = views.find(({ phase }) => phase === 'prepared');
  if (prepared) return prepared && stepOfPrepared(views, prepared, mergedMax);
  const candidate = mostNeeded(views.filter(({ phase }) => phase === 'side'));
  if (candidate === null || (taken(views) >= mergedMax && victimFor(views, candidate) === null)) return null;
  return { kind: 'prepare', digest: candidate.digest };
}

function stepOfPrepared(views: readonly MergeView[], prepared: MergeView, mergedMax: number): MergeStep | null {
  if (need(prepared) === 0) return { kind: 'forget', digest: prepared.digest };
  if (taken(views) < mergedMax) return { kind: 'load', digest: prepared.digest };
  if (views.some(({ phase }) => phase === 'retiring')) return null;
  const victim = victimFor(views, prepared);
  // What could give its place has become more needed since: others must not wait behind this one.
  return victim === null ? { kind: 'forget', digest: prepared.digest } : { kind: 'retire', digest: victim.digest };
}

/** Places that are in use, also by what is about to leave. */
function taken(views: readonly MergeView[]): number {
  return views.filter(({ phase }) => phase === 'merged' || phase === 'retiring').length;
}

/** 3: requests have no other way. 2: the operator says so. 1: it pays by measured cost. 0: none. */
function need({ mergedOnly, demand, placement, phase, gainMs }: MergeView): 0 | 1 | 2 | 3 {
  if (mergedOnly) return demand > 0 ? 3 : 0;
  if (placement === 'merged') return 2;
  if (placement === 'side') return 0;
  return gainMs >= (phase === 'side' ? PROMOTE_GAIN_MS : 1) ? 1 : 0;
}

/** The lower threshold: merged calls have ceased to pay for as long as they had paid, or the operator wants the side path. */
function mustLeave(view: MergeView): boolean {
  return !view.mergedOnly && need(view) === 0;
}

function mostNeeded(views: readonly MergeView[]): MergeView | null {
  let best: MergeView | null = null;
  for (const view of views) {
    if (need(view) === 0) continue;
    if (best === null || need(view) > need(best) || (need(view) === need(best) && view.waitedMs > best.waitedMs)) best = view;
  }
  return best;
}

/** Whose place a candidate may take: the least needed, of those the least recently used. */
function victimFor(views: readonly MergeView[], candidate: MergeView): MergeView | null {
  let victim: MergeView | null = null;
  for (const view of views) {
    if (view.phase !== 'merged' || !yields(view, candidate)) continue;
    const earlier = victim === null || need(view) < need(victim) || (need(view) === need(victim) && view.idleMs > victim.idleMs);
    if (earlier) victim = view;
  }
  return victim;
}

function yields(view: MergeView, candidate: MergeView): boolean {
  if (need(view) !== need(candidate)) return need(view) < need(candidate);
  switch (need(candidate)) {
    case 3:
      return candidate.waitedMs >= STARVED_MS;
    case 2:
      return candidate.demand > 0 && view.demand === 0 && view.idleMs >= PLACED_IDLE_MS;
    default:
      return false;
  }
}
