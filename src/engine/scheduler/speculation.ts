// Prompt-lookup speculation: what may come next, taken from what was there before, and when to stop trying. Pure.
// Source: Saxena, "Prompt Lookup Decoding" (2023); the n-gram drafter of vLLM.

/** How a request's drafts have fared. */
export interface DraftTrial {
  /** Moving share of drafted tokens that the model chose too. */
  readonly acceptance: number;
  /** No drafts before this many tokens are produced. */
  readonly resumesAt: number;
}

/** Longer drafts cost more than they save: each further token costs about a third of a decode call of one row. */
const MAX_DRAFT_TOKENS = 4;
const LONGEST_MATCH = 4;
/** A single token that occurred before says too little. */
const SHORTEST_MATCH = 2;

/** Below this share a call with drafts costs more than the decode calls that it replaces. */
const MIN_ACCEPTANCE = 0.45;
const NEWEST_SHARE = 0.25;
/** Tokens without drafts after a trial failed; text changes its character slowly. */
const PAUSE_TOKENS = 48;

/** Begins a little above the threshold: two bad drafts end it. */
export const NEW_TRIAL: DraftTrial = { acceptance: 0.7, resumesAt: 0 };

/** What followed the latest earlier occurrence of the last tokens, at most `limit` tokens; the longest match of them counts. */
export function draftTokens(tokens: readonly number[], limit: number): readonly number[] {
  const count = Math.min(limit, MAX_DRAFT_TOKENS);
  if (count <= 0) return [];
  for (let length = LONGEST_MATCH; length >= SHORTEST_MATCH; length -= 1) {
    const end = lastOccurrence(tokens, length);
    if (end !== null) return tokens.slice(end, end + count);
  }
  return [];
}

export function mayDraft({ resumesAt }: DraftTrial, producedCount: number): boolean {
  return producedCount >= resumesAt;
}

export function judgeDrafts(
  { acceptance }: DraftTrial,
  { proposed, accepted, producedCount }: { readonly proposed: number; readonly accepted: number; readonly producedCount: number },
): DraftTrial {
  const next = acceptance + NEWEST_SHARE * (accepted / proposed - acceptance);
  return next < MIN_ACCEPTANCE ? { ...NEW_TRIAL, resumesAt: producedCount + PAUSE_TOKENS } : { acceptance: next, resumesAt: 0 };
}

/** Index after the latest earlier place where the last `length` tokens stand. */
function lastOccurrence(tokens: readonly number[], length: number): number | null {
  const tail = tokens.length - length;
  for (let start = tail - 1; start >= 0; start -= 1) {
    let matched = 0;
    while (matched < length && tokens[start + matched] === tokens[tail + matched]) matched += 1;
    if (matched === length) return start + length;
  }
  return null;
}
