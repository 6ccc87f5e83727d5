// Who joins the batch next: round-robin over groups, oldest first inside a group. A pure policy over small records;
// a weighted policy (virtual token counters) can take its place without touching its callers.

export interface WaitingView {
  readonly group: string;
  /** Order of arrival, unique. */
  readonly arrival: number;
  /** It ran before and lost its row; it has shown output already. */
  readonly preempted: boolean;
}

/** Group → number of the turn in which it was last admitted. */
export type GroupTurns = ReadonlyMap<string, number>;

const MAX_REMEMBERED_GROUPS = 4096;

/**
 * The request to admit next, null when none waits. Preempted requests come first, by arrival; then the group whose turn is longest ago,
 * and in it the oldest. The caller must not skip the answer when it does not fit: then admission stops, so that small requests cannot
 * starve a large one.
 */
export function nextToAdmit<View extends WaitingView>(waiting: readonly View[], turns: GroupTurns): View | null {
  let best: View | null = null;
  for (const view of waiting) {
    if (best === null || comesBefore(view, best, turns)) best = view;
  }
  return best;
}

function comesBefore(left: WaitingView, right: WaitingView, turns: GroupTurns): boolean {
  if (left.preempted !== right.preempted) return left.preempted;
  const difference = turnOf(turns, left.group) - turnOf(turns, right.group);
  return left.preempted || difference === 0 ? left.arrival < right.arrival : difference < 0;
}

function turnOf(turns: GroupTurns, group: string): number {
  return turns.get(group) ?? 0;
}

/**
 * Notes that a request arrives. A group that had nothing waiting is lifted to the level of those that have: it joins the round, and
 * time without requests is no credit with which it could push others back.
 */
export function recordArrival(turns: Map<string, number>, group: string, waitingGroups: ReadonlySet<string>): void {
  if (waitingGroups.size === 0 || waitingGroups.has(group)) return;
  const level = Math.min(...[...waitingGroups].map((other) => turnOf(turns, other)));
  turns.set(group, Math.max(turnOf(turns, group), level));
}

/** Notes that a group was admitted; `turn` grows with every call. Forgets the groups admitted longest ago beyond a bound. */
export function recordTurn(turns: Map<string, number>, group: string, turn: number): void {
  turns.delete(group);
  turns.set(group, turn);
  for (const oldest of turns.keys()) {
    if (turns.size <= MAX_REMEMBERED_GROUPS) return;
    turns.delete(oldest);
  }
}
