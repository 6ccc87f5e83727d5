// Which waiting requests may start to load their adapters. Pure. Bounds the adapters that mere waiting can pin in memory.
import { nextToAdmit, type GroupTurns, type WaitingView } from './admission.ts';

export interface PrefetchView extends WaitingView {
  /** `queued` has asked for nothing yet; `loading` and `ready` may hold an adapter. */
  readonly phase: 'queued' | 'loading' | 'ready';
}

/**
 * Requests that should start loading now, in the order of admission. At most `limit` requests beyond the queue stage,
 * but every group may always have one, so that no group's backlog delays another group's first load.
 */
export function nextToLoad<View extends PrefetchView>(waiting: readonly View[], turns: GroupTurns, limit: number): readonly View[] {
  const started = waiting.filter((view) => view.phase !== 'queued');
  const groupsStarted = new Set(started.map((view) => view.group));
  let startedCount = started.length;
  let queued = waiting.filter((view) => view.phase === 'queued');
  const chosen: View[] = [];
  while (queued.length > 0) {
    const full = startedCount >= limit;
    const next = nextToAdmit(full ? queued.filter((view) => !groupsStarted.has(view.group)) : queued, turns);
    if (next === null) break;
    chosen.push(next);
    groupsStarted.add(next.group);
    startedCount += 1;
    queued = queued.filter((view) => view !== next);
  }
  return chosen;
}
