// Corpus BLEU as sacrebleu 2 computes it by default: 13a tokens, n-grams up to 4, several references, exponential smoothing
// (Papineni et al. 2002; Post 2018, arXiv 1804.08771; smoothing: Chen and Cherry 2014, method 3).

const MAX_ORDER = 4;

export interface BleuSegment {
  readonly hypothesis: string;
  /** At least one. */
  readonly references: readonly string[];
}

/** From 0 to 100. */
export function corpusBleu(segments: readonly BleuSegment[]): number {
  const correct = Array.from({ length: MAX_ORDER }, () => 0);
  const total = Array.from({ length: MAX_ORDER }, () => 0);
  let length = 0;
  let referenceLength = 0;
  for (const { hypothesis, references } of segments) {
    const words = tokenise13a(hypothesis.trimEnd());
    const referenceWords = references.map((reference) => tokenise13a(reference.trimEnd()));
    length += words.length;
    referenceLength += closestLength(
      words.length,
      referenceWords.map((each) => each.length),
    );
    for (let order = 1; order <= MAX_ORDER; order += 1) {
      const allowed = mostCounts(referenceWords.map((each) => countNgrams(each, order)));
      for (const [ngram, count] of countNgrams(words, order)) add(correct, order, Math.min(count, allowed.get(ngram) ?? 0));
      add(total, order, Math.max(0, words.length - order + 1));
    }
  }
  return scoreOf(correct, total, length, referenceLength);
}

function add(sums: number[], order: number, amount: number): void {
  sums[order - 1] = (sums[order - 1] ?? 0) + amount;
}

/** An order without a match counts as half, a quarter, … of a match; one without n-grams makes the score 0, as all without a match do. */
function scoreOf(correct: readonly number[], total: readonly number[], length: number, referenceLength: number): number {
  if (correct.every((count) => count === 0) || total.includes(0)) return 0;
  const brevity = length < referenceLength ? Math.exp(1 - referenceLength / length) : 1;
  let smoothing = 1;
  const logs = correct.map((count, index) => {
    if (count === 0) smoothing *= 2;
    return Math.log((100 * (count === 0 ? 1 / smoothing : count)) / (total[index] ?? 1));
  });
  return brevity * Math.exp(logs.reduce((sum, log) => sum + log, 0) / MAX_ORDER);
}

/** Of two equally close lengths the shorter. */
function closestLength(length: number, lengths: readonly number[]): number {
  return lengths.reduce((best, candidate) => {
    const [near, nearest] = [Math.abs(candidate - length), Math.abs(best - length)];
    return near < nearest || (near === nearest && candidate < best) ? candidate : best;
  }, Infinity);
}

function countNgrams(words: readonly string[], order: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (let start = 0; start + order <= words.length; start += 1) {
    const ngram = words.slice(start, start + order).join(' ');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

function mostCounts(all: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const most = new Map<string, number>();
  for (const counts of all) for (const [ngram, count] of counts) most.set(ngram, Math.max(count, most.get(ngram) ?? 0));
  return most;
}

/** The tokens of mteval-v13a (sacrebleu/tokenizers/tokenizer_13a.py and tokenizer_re.py). */
export function tokenise13a(line: string): readonly string[] {
  const plain = line.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  const text = plain.replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
  const spaced = ` ${text} `
    .replaceAll(/([{-~[-` -&(-+:-@/])/g, ' $1 ')
    .replaceAll(/([^0-9])([.,])/gs, '$1 $2 ')
    .replaceAll(/([.,])([^0-9])/gs, ' $1 $2')
    .replaceAll(/([0-9])(-)/g, '$1 $2 ');
  return spaced.split(/\s+/).filter((word) => word !== '');
}
