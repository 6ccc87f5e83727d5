// Which projection groups of a w8a8 form multiply row by row in integers with one product; the others stay exacter. A policy over measured divergences.

export interface Candidate {
  readonly group: string;
  readonly weightCount: number;
}

/** Neighbours that are tried together. */
interface Part {
  readonly candidates: readonly Candidate[];
  readonly divergence: number;
}

/**
 * All groups where their divergence together is within the bound. Else the part with the largest divergence for its size is halved, and its halves
 * are measured, again and again; where one group is left of it, that group is out. Divergences of small changes add up, so this ends when those of the parts
 * do not pass the bound: each bad group costs about twice the logarithm of the number of groups.
 */
export async function chooseGroups(
  candidates: readonly Candidate[],
  bound: number,
  measure: (groups: readonly string[]) => Promise<number>,
): Promise<readonly string[]> {
  const part = async (some: readonly Candidate[]): Promise<Part> => ({
    candidates: some,
    divergence: await measure(some.map(({ group }) => group)),
  });
  let parts = candidates.length === 0 ? [] : [await part(candidates)];
  for (;;) {
    const sum = parts.reduce((total, each) => total + each.divergence, 0);
    const worst = parts.toSorted((one, other) => density(other) - density(one))[0];
    // Not a number is not within the bound either.
    if (sum <= bound || worst === undefined) return inOrder(candidates, parts);
    parts = parts.filter((each) => each !== worst);
    const { length } = worst.candidates;
    if (length === 1) continue;
    const middle = Math.ceil(length / 2);
    parts.push(await part(worst.candidates.slice(0, middle)), await part(worst.candidates.slice(middle)));
  }
}

function density({ candidates, divergence }: Part): number {
  return Number.isNaN(divergence) ? Infinity : divergence / candidates.reduce((sum, { weightCount }) => sum + weightCount, 0);
}

function inOrder(candidates: readonly Candidate[], parts: readonly Part[]): readonly string[] {
  const chosen = new Set(parts.flatMap((part) => part.candidates.map(({ group }) => group)));
  return candidates.map(({ group }) => group).filter((group) => chosen.has(group));
}
