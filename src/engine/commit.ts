// What a successful session call changes: cache positions, log probabilities, sampled tokens, finished requests.
import { describeError } from '../core/index.ts';
import { fail, finish } from './leave.ts';
import type { FinishReason } from './messages.ts';
import type { PrefillCall } from './ports.ts';
import { keepPrefix } from './prefix.ts';
import { tokenLogprob } from './sampling/logprobs.ts';
import { judgeDrafts } from './scheduler/speculation.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** `logits` is what the executor answered for the call: none, one line, or one line a token. */
export function commitPrefill(state: EngineState, sequence: Sequence, row: Row, call: PrefillCall, logits: Float32Array): void {
  const tokenCount = call.tokenIds.length;
  state.counters.prefillCalls += 1;
  state.counters.prefillTokens += tokenCount;
  row.cachedPositions += tokenCount;
  row.lastPrefillStep = state.step;
  if (call.logits === 'all') collectPromptLogprobs(state, sequence, call, logits);
  keepPrefix(state, sequence, row);
  if (row.cachedPositions < row.prefillTarget) return;
  emitPrefixHit(state, sequence);
  emitPromptLogprobs(state, sequence);
  if (sequence.remainingNewTokens <= 0) {
    finish(state, sequence, 'length');
    return;
  }
  const lastLine = call.logits === 'all' ? tokenCount - 1 : 0;
  takeToken(state, sequence, line(state, logits, lastLine));
}

/** Line i of `logits` belongs to member i. */
export function commitDecode(
  state: EngineState,
  members: readonly { readonly sequence: Sequence; readonly row: Row }[],
  logits: Float32Array,
): void {
  state.counters.decodeCalls += 1;
  state.counters.decodeRows += members.length;
  if (members.some(({ row }) => row.merged !== null)) {
    state.counters.mergedCalls += 1;
    state.counters.mergedRows += members.length;
  }
  members.forEach(({ sequence, row }, index) => {
    row.cachedPositions += 1;
    takeToken(state, sequence, line(state, logits, index));
  });
}

/**
 * Line i follows token i of the call: the row's last token, then the drafts. Tokens are taken as in decode calls, one line after the other,
 * for as long as they are what was drafted; so output is that without drafts, however it is sampled.
 */
export function commitDrafts(state: EngineState, sequence: Sequence, row: Row, call: PrefillCall, logits: Float32Array): void {
  const drafts = call.tokenIds.slice(1);
  state.counters.decodeCalls += 1;
  state.counters.decodeRows += 1;
  let agreed = 0;
  for (let index = 0; index <= drafts.length; index += 1) {
    row.cachedPositions += 1;
    takeToken(state, sequence, line(state, logits, index));
    if (sequence.row !== row || sequence.tokens.at(-1) !== drafts[index]) break;
    agreed += 1;
  }
  state.counters.draftTokens += drafts.length;
  state.counters.acceptedDraftTokens += agreed;
  sequence.drafts = judgeDrafts(sequence.drafts, { proposed: drafts.length, accepted: agreed, producedCount: sequence.producedCount });
}

/** The line after position p gives the log probability of prompt token p + 1. Those known from before a preemption are kept. */
function collectPromptLogprobs(state: EngineState, sequence: Sequence, call: PrefillCall, logits: Float32Array): void {
  const topCount = sequence.request.promptLogprobs ?? 0;
  const end = call.startPosition + call.tokenIds.length;
  for (let next = sequence.nextPromptLogprob; next !== null && next <= end; next = sequence.nextPromptLogprob) {
    const tokenId = sequence.tokens[next] ?? 0;
    sequence.addPromptLogprob(tokenLogprob(line(state, logits, next - 1 - call.startPosition), tokenId, topCount, state.weigh));
  }
}

function emitPrefixHit(state: EngineState, { id, cachedTokens, producedCount }: Sequence): void {
  if (cachedTokens > 0 && producedCount === 0) state.outbox.push({ kind: 'prefix-hit', id, tokenCount: cachedTokens });
}

function emitPromptLogprobs(state: EngineState, sequence: Sequence): void {
  const values = sequence.takePromptLogprobs();
  if (values !== null) state.outbox.push({ kind: 'prompt-logprobs', id: sequence.id, values });
}

function takeToken(state: EngineState, sequence: Sequence, logits: Float32Array): void {
  const { constraint, request } = sequence;
  let tokenId: number;
  try {
    tokenId = state.sampler.sample(logits, request.sampling, sequence.history, sequence.producedCount, constraint?.mask ?? null);
  } catch (error) {
    state.dependencies.logger.error({ requestId: sequence.id, error: describeError(error) }, 'sampling failed');
    fail(state, sequence, 'generation_failed', 'no next token could be chosen: no token that may come has a finite logit');
    return;
  }
  sequence.append(tokenId);
  state.counters.generatedTokens += 1;
  const logprob = request.logprobs === null ? {} : { logprob: tokenLogprob(logits, tokenId, request.logprobs, state.weigh) };
  state.outbox.push({ kind: 'token', id: request.id, tokenId, ...logprob });
  const reason = finishReason(state, sequence, tokenId);
  if (reason === null) constraint?.accept(tokenId);
  else finish(state, sequence, reason);
}

function finishReason(state: EngineState, sequence: Sequence, tokenId: number): FinishReason | null {
  if (sequence.stopTokenIds.has(tokenId)) return 'stop-token';
  const contextIsFull = sequence.tokens.length >= state.maxContext;
  return sequence.remainingNewTokens <= 0 || contextIsFull ? 'length' : null;
}

/** Line `index` of logits [n, vocabularySize], a view. */
function line(state: EngineState, logits: Float32Array, index: number): Float32Array {
  const { vocabularySize } = state.executor.shape;
  return logits.subarray(index * vocabularySize, (index + 1) * vocabularySize);
}
