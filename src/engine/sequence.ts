// One request inside the engine: its tokens, where it stands, and what it holds. Knows no policy.
import { NO_PENALTY_HISTORY, hasPenalties, type TokenHistory } from './sampling/penalties.ts';
import type { Digest } from '../core/index.ts';
import type { GenerationRequest, TokenLogprob } from './messages.ts';
import type { RowId, TokenConstraint } from './ports.ts';
import type { PrefixPlace } from './kv-cache/prefix-cache.ts';
import type { AdapterResidence } from './residency.ts';
import type { WaitingView } from './scheduler/admission.ts';
import { NEW_TRIAL, type DraftTrial } from './scheduler/speculation.ts';

/** Logits of every prompt token are large (vocabulary times four bytes each), so such chunks are kept short. */
const PROMPT_LOGPROB_CHUNK = 64;

/** A place in the running batch. */
export interface Row {
  readonly id: RowId;
  capacity: number;
  /** The merged adapter that computes it; null: the base's session, with the adapter beside it. */
  merged: Digest | null;
  /** Positions whose keys and values are in the cache. */
  cachedPositions: number;
  /** Tokens that were known when the row was given: they are prefilled, later ones decoded. */
  readonly prefillTarget: number;
  /** Step of the latest prefill chunk; before the first, that in which the row joined. */
  lastPrefillStep: number;
  /** Where it stands in the prefix cache; null when it takes no part, or no more. */
  prefix: PrefixPlace | null;
}

/**
 * `queued`: its adapter was not asked for yet; `loading`: waits for the adapter; `ready`: waits for a row; `running`: has one.
 * A preempted sequence goes from `running` back to `ready` and keeps its tokens and its adapter.
 */
export type Phase = 'queued' | 'loading' | 'ready' | 'running';

export class Sequence implements WaitingView {
  readonly request: GenerationRequest;
  readonly arrival: number;
  readonly promptLength: number;
  /** Prompt, then produced tokens. */
  readonly tokens: number[];
  readonly stopTokenIds: ReadonlySet<number>;
  phase: Phase;
  preempted = false;
  residence: AdapterResidence | null = null;
  row: Row | null = null;
  /** Follows the produced tokens, also over preemptions; null: the output is free. */
  readonly constraint: TokenConstraint | null;
  /** Prompt tokens that came from the prefix cache when the prompt was first read. */
  cachedTokens = 0;
  drafts: DraftTrial = NEW_TRIAL;
  readonly history: TokenHistory;
  readonly #producedCounts: Map<number, number> | null;
  readonly #promptLogprobs: (TokenLogprob | null)[] = [null];
  #promptLogprobsTaken = false;

  constructor(request: GenerationRequest, arrival: number, constraint: TokenConstraint | null = null) {
    this.request = request;
    this.constraint = constraint;
    this.arrival = arrival;
    this.promptLength = request.promptTokenIds.length;
    this.tokens = [...request.promptTokenIds];
    this.stopTokenIds = new Set(request.stopTokenIds);
    this.phase = request.adapterDigest === null ? 'ready' : 'queued';
    const counts = hasPenalties(request.sampling) ? new Map<number, number>() : null;
    this.#producedCounts = counts;
    this.history = counts === null ? NO_PENALTY_HISTORY : { promptIds: new Set(request.promptTokenIds), producedCounts: counts };
  }

  get id(): GenerationRequest['id'] {
    return this.request.id;
  }

  get group(): string {
    return this.request.group;
  }

  get producedCount(): number {
    return this.tokens.length - this.promptLength;
  }

  get remainingNewTokens(): number {
    return this.request.maxNewTokens - this.producedCount;
  }

  /** Its adapter holds whole tensors, which nothing but a merged model can. Known once the adapter is loaded. */
  get isMergedOnly(): boolean {
    return this.residence?.adapter.header.full !== undefined;
  }

  append(tokenId: number): void {
    this.tokens.push(tokenId);
    this.#producedCounts?.set(tokenId, (this.#producedCounts.get(tokenId) ?? 0) + 1);
  }

  /** Prompt positions whose log probability is still wanted: the first missing one, or null. */
  get nextPromptLogprob(): number | null {
    const next = this.#promptLogprobs.length;
    return this.request.promptLogprobs === null || next >= this.promptLength ? null : next;
  }

  addPromptLogprob(value: TokenLogprob): void {
    this.#promptLogprobs.push(value);
  }

  /** Once the prompt is computed: one value for each of its tokens, the first null. Null when none are wanted or they were taken before. */
  takePromptLogprobs(): readonly (TokenLogprob | null)[] | null {
    if (this.request.promptLogprobs === null || this.#promptLogprobsTaken) return null;
    this.#promptLogprobsTaken = true;
    return this.#promptLogprobs;
  }

  /** Largest prefill chunk of this sequence. */
  maxChunk(prefillChunk: number): number {
    return this.nextPromptLogprob === null ? prefillChunk : Math.min(prefillChunk, PROMPT_LOGPROB_CHUNK);
  }
}
