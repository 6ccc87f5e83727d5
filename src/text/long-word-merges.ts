// Byte-pair merging of one long word in O(n log n) with small constants. The library's own takes 25 µs a character, so one prompt without any
// break would hold the process for seconds. Knows no vocabulary: characters in, merged pieces out.

/** Merging a word's characters, as the merges of a BPE model say. */
export type WordMerger = (word: string) => string[];

/** Both fit into one number that a double holds exactly: the rank above, the position below. */
const MAX_POSITIONS = 2 ** 30;
const MAX_PIECES = 2 ** 26;

interface Merge {
  readonly rank: number;
  readonly merged: number;
}

interface MergeTable {
  /** Text of each piece. */
  readonly texts: string[];
  readonly ids: Map<string, number>;
  /** Left piece times MAX_PIECES plus right piece → rank and merged piece. */
  readonly merges: ReadonlyMap<number, Merge>;
}

/** @param merges pairs in the order of their ranks; the tables are built with the first word. */
export function createWordMerger(merges: readonly (readonly [string, string])[]): WordMerger {
  let table: MergeTable | null = null;
  return (word) => {
    table ??= buildTable(merges);
    return mergeWord(word, table);
  };
}

function buildTable(pairs: readonly (readonly [string, string])[]): MergeTable {
  const texts: string[] = [];
  const ids = new Map<string, number>();
  const merges = new Map<number, Merge>();
  for (const [rank, [left, right]] of pairs.entries()) {
    const key = pieceId(left, texts, ids) * MAX_PIECES + pieceId(right, texts, ids);
    merges.set(key, { rank, merged: pieceId(left + right, texts, ids) });
  }
  return { texts, ids, merges };
}

function pieceId(text: string, texts: string[], ids: Map<string, number>): number {
  const known = ids.get(text);
  if (known !== undefined) return known;
  ids.set(text, texts.length);
  return texts.push(text) - 1;
}

/** The lowest rank merges first; of equal ranks the leftmost. */
function mergeWord(word: string, table: MergeTable): string[] {
  const chain = new PieceChain(Array.from(word), table);
  // Every character is considered once, and every merge has two neighbours.
  const queue = new NumberQueue(3 * chain.length);
  const consider = (position: number): void => {
    const merge = chain.mergeAt(position);
    if (merge !== undefined) queue.push(merge.rank * MAX_POSITIONS + position);
  };
  for (let position = 0; position < chain.length; position++) consider(position);
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const position = entry % MAX_POSITIONS;
    const merge = chain.mergeAt(position);
    // Otherwise its neighbours have changed since it was considered, and then it was considered again.
    if (merge?.rank !== Math.floor(entry / MAX_POSITIONS)) continue;
    const before = chain.join(position, merge.merged);
    if (before >= 0) consider(before);
    consider(position);
  }
  return chain.texts();
}

/** The pieces of a word, each at the position of its first character, linked in their order. */
class PieceChain {
  readonly length: number;
  readonly #characters: readonly string[];
  readonly #table: MergeTable;
  /** Piece at each position: -1 for a character that no merge knows, -2 for what belongs to a piece before it. */
  readonly #pieces: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;

  constructor(characters: readonly string[], table: MergeTable) {
    this.length = characters.length;
    this.#characters = characters;
    this.#table = table;
    this.#pieces = Int32Array.from(characters, (character) => table.ids.get(character) ?? -1);
    this.#next = Int32Array.from(characters, (_, position) => position + 1);
    this.#previous = Int32Array.from(characters, (_, position) => position - 1);
  }

  /** How the piece at a position merges with the one after it. */
  mergeAt(position: number): Merge | undefined {
    const left = this.#pieces[position] ?? -1;
    const right = this.#pieces[this.#after(position)] ?? -1;
    return left < 0 || right < 0 ? undefined : this.#table.merges.get(left * MAX_PIECES + right);
  }

  /** Puts the merged piece in the place of two; gives the position of the piece before it, -1 for none. */
  join(position: number, merged: number): number {
    const right = this.#after(position);
    const after = this.#after(right);
    this.#pieces[position] = merged;
    this.#pieces[right] = -2;
    this.#next[position] = after;
    if (after < this.length) this.#previous[after] = position;
    return this.#previous[position] ?? -1;
  }

  texts(): string[] {
    const texts: string[] = [];
    for (let position = 0; position < this.length; position = this.#after(position)) {
      texts.push(this.#table.texts[this.#pieces[position] ?? -1] ?? this.#characters[position] ?? '');
    }
    return texts;
  }

  #after(position: number): number {
    return this.#next[position] ?? this.length;
  }
}

/** A binary heap of numbers with a fixed capacity, smallest first. */
class NumberQueue {
  readonly #heap: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#heap = new Float64Array(capacity);
  }

  push(value: number): void {
    let place = this.#size++;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.#at(parent);
      if (above <= value) break;
      this.#heap[place] = above;
      place = parent;
    }
    this.#heap[place] = value;
  }

  pop(): number | undefined {
    if (this.#size === 0) return undefined;
    const smallest = this.#at(0);
    const last = this.#at(--this.#size);
    let place = 0;
    for (let child = 1; child < this.#size; child = 2 * place + 1) {
      if (child + 1 < this.#size && this.#at(child + 1) < this.#at(child)) child++;
      if (this.#at(child) >= last) break;
      this.#heap[place] = this.#at(child);
      place = child;
    }
    this.#heap[place] = last;
    return smallest;
  }

  #at(place: number): number {
    return this.#heap[place] ?? Number.POSITIVE_INFINITY;
  }
}
