// What a successful session call changes: cache positions, log probabilities, sampled tokens, finished requests.
import { describeError } from '../core/index.ts';
import { fail, finish } from './leave.ts';
import type { FinishReason } from './messages.ts';
import type { PrefillCall } from './ports.ts';
import { tokenLogprob } from './sampling/logprobs.ts';
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
  if (row.cachedPositions < row.prefillTarget) return;
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
  members.forEach(({ sequence, row }, index) => {
    row.cachedPositions += 1;
    takeToken(state, sequence, line(state, logits, index));
  });
}

/** The line after position p gives the log probability of prompt token p + 1. Those known from before a preemption are kept. */
function collectPromptLogprobs(state: EngineState, sequence: Sequence, call: PrefillCall, logits: Float32Array): void {
  const topCount = sequence.request.promptLogprobs ?? 0;
  const end = call.startPosition + call.tokenIds.length;
  for (let next = sequence.nextPromptLogprob; next !== null && next <= end; next = sequence.nextPromptLogprob) {
    const tokenId = sequence.tokens[next] ?? 0;
    sequence.addPromptLogprob(tokenLogprob(line(state, logits, next - 1 - call.startPosition), tokenId, topCount));
  }
}

function emitPromptLogprobs(state: EngineState, sequence: Sequence): void {
  const values = sequence.takePromptLogprobs();
  if (values !== null) state.outbox.push({ kind: 'prompt-logprobs', id: sequence.id, values });
}

function takeToken(state: EngineState, sequence: Sequence, logits: Float32Array): void {
  const { request } = sequence;
  let tokenId: number;
  try {
    tokenId = state.sampler.sample(logits, request.sampling, sequence.history, sequence.producedCount);
  } catch (error) {
    state.dependencies.logger.error({ requestId: sequence.id, error: describeError(error) }, 'sampling failed');
    fail(state, sequence, 'generation_failed', 'no next token could be chosen: the model gave no finite logits');
    return;
  }
  sequence.append(tokenId);
  state.counters.generatedTokens += 1;
  const logprob = request.logprobs === null ? {} : { logprob: tokenLogprob(logits, tokenId, request.logprobs) };
  state.outbox.push({ kind: 'token', id: request.id, tokenId, ...logprob });
  const reason = finishReason(state, sequence, tokenId);
  if (reason !== null) finish(state, sequence, reason);
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
