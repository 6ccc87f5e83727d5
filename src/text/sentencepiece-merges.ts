// BPE merges from a SentencePiece vocabulary, which stores pieces and scores only. The order is that of transformers' converter
// (generate_merges in convert_slow_tokenizer.py), so the tokenizer equals the tokenizer.json that its converter writes for the same model.

interface ScoredMerge {
  readonly left: string;
  readonly right: string;
  readonly leftLength: number;
  readonly rightLength: number;
  readonly score: number;
}

/**
 * @param pieces the pieces that merging may make, in the order of their ids, each with its score; a higher score merges earlier.
 */
export function sentencePieceMerges(pieces: readonly { readonly piece: string; readonly score: number }[]): [string, string][] {
  const orders = new Map(pieces.map(({ piece }, order) => [piece, order]));
  const merges = pieces.flatMap(({ piece, score }) => mergesInto(piece, score, orders));
  // Array sort is stable, as Python's is: equal merges keep the order in which they were found.
  merges.sort((a, b) => b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength);
  return merges.map(({ left, right }) => [left, right]);
}

/** Every way to cut a piece into two other pieces. */
function mergesInto(piece: string, score: number, orders: ReadonlyMap<string, number>): ScoredMerge[] {
  const characters = Array.from(piece);
  const found: (ScoredMerge & { readonly leftOrder: number; readonly rightOrder: number })[] = [];
  for (let cut = 1; cut < characters.length; cut++) {
    const left = characters.slice(0, cut).join('');
    const right = characters.slice(cut).join('');
    const leftOrder = orders.get(left);
    const rightOrder = orders.get(right);
    if (leftOrder === undefined || rightOrder === undefined) continue;
    found.push({ left, right, leftLength: cut, rightLength: characters.length - cut, score, leftOrder, rightOrder });
  }
  return found.toSorted((a, b) => a.leftOrder - b.leftOrder || a.rightOrder - b.rightOrder);
}
