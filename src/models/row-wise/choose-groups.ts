// Which projection groups of a w8a8 form multiply row by row in integers; the others stay block-wise. Pure policy.

/** What making one group row-wise costs and gains. */
export interface GroupTrial {
  readonly group: string;
  /** Mean KL divergence from the float32 model, in nats, with this group alone row-wise. */
  readonly divergence: number;
  readonly weightCount: number;
}

/** Divergences of small changes add up, so the groups with the least for their size are taken while their sum stays within `largestSum`. */
export function chooseGroups(trials: readonly GroupTrial[], largestSum: number): readonly string[] {
  const chosen: string[] = [];
  let sum = 0;
  for (const { group, divergence } of trials.toSorted((a, b) => a.divergence / a.weightCount - b.divergence / b.weightCount)) {
    if (!(sum + divergence <= largestSum)) continue;
    sum += divergence;
    chosen.push(group);
  }
  return chosen;
}
