// Typed messages between the front and an engine process. Small values only: weights and adapters travel as files, by digest.
import type { Digest, ErrorCode, RequestId } from '../core/index.ts';

export interface SamplingParameters {
  /** 0 means greedy. */
  readonly temperature: number;
  /** 0 means all. */
  readonly topK: number;
  /** 1 means all. */
  readonly topP: number;
  /** 0 means off: keeps tokens with probability of at least minP times the largest. */
  readonly minP: number;
  /** 1 means off: locally typical sampling mass. */
  readonly typicalP: number;
  /** 1 means off; divides positive and multiplies negative logits of tokens seen in prompt and output (CTRL). */
  readonly repetitionPenalty: number;
  /** 0 means off; OpenAI's formula over generated tokens. */
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Token id and additive bias. */
  readonly logitBias: readonly (readonly [number, number])[];
  /** Unsigned 32-bit. */
  readonly seed: number;
}

/** What the output may look like; the engine only hands it on, see `ConstraintSource`. */
export interface OutputGrammar {
  readonly kind: 'json-schema' | 'regex' | 'ebnf';
  readonly text: string;
}

export interface GenerationRequest {
  readonly id: RequestId;
  /** Opaque fairness and cache group; the engine never learns keys or names. */
  readonly group: string;
  /** At least one token. */
  readonly promptTokenIds: readonly number[];
  /** null: the base model. */
  readonly adapterDigest: Digest | null;
  /** 0 allowed with promptLogprobs. */
  readonly maxNewTokens: number;
  /** Generation ends after one of these is produced; it is reported like any token. */
  readonly stopTokenIds: readonly number[];
  readonly sampling: SamplingParameters;
  /** Absent: the output is free. Else end-of-text comes when the grammar is complete, and only then. */
  readonly grammar?: OutputGrammar;
  /** Number of alternatives to report for each generated token; null: no log probabilities at all. */
  readonly logprobs: number | null;
  /** The same for every prompt token but the first. */
  readonly promptLogprobs: number | null;
}

/** Natural-log probability of a token after temperature-free softmax, with the most likely alternatives, best first. */
export interface TokenLogprob {
  readonly logprob: number;
  readonly top: readonly (readonly [tokenId: number, logprob: number])[];
}

export type FinishReason = 'length' | 'stop-token' | 'cancelled';

export type EngineEvent =
  /** Comes before the first token, only when a part of the prompt was in the prefix cache. */
  | { readonly kind: 'prefix-hit'; readonly id: RequestId; readonly tokenCount: number }
  | { readonly kind: 'prompt-logprobs'; readonly id: RequestId; readonly values: readonly (TokenLogprob | null)[] }
  | { readonly kind: 'token'; readonly id: RequestId; readonly tokenId: number; readonly logprob?: TokenLogprob }
  | { readonly kind: 'finished'; readonly id: RequestId; readonly reason: FinishReason }
  | {
      readonly kind: 'failed';
      readonly id: RequestId;
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryAfterSeconds?: number;
    };

/** A packed adapter in host memory. */
export interface AdapterReading {
  readonly digest: Digest;
  readonly bytes: number;
  /** Requests that hold it now. */
  readonly leases: number;
  /** Milliseconds that loading took. */
  readonly loadMs: number;
  /** Requests that found it in memory since it was loaded. */
  readonly hits: number;
  /** It stays without a request. */
  readonly pinned: boolean;
}

/** An adapter that is merged, or on its way there or back. */
export interface MergedReading {
  readonly digest: Digest;
  readonly phase: 'preparing' | 'prepared' | 'loading' | 'merged' | 'retiring' | 'failed';
  /** Of the weights that are its own; 0 without a session. */
  readonly bytes: number;
}

/** A reading of the engine, sent about once a second and on demand; counters grow, gauges are current. */
export interface EngineStats {
  readonly runningRequests: number;
  readonly waitingRequests: number;
  readonly decodeCalls: number;
  readonly decodeRows: number;
  /** Those of the decode calls that a merged adapter's session ran. */
  readonly mergedCalls: number;
  readonly mergedRows: number;
  readonly prefillCalls: number;
  readonly prefillTokens: number;
  readonly generatedTokens: number;
  /** Rows given up for want of KV memory; their requests go on later. */
  readonly preemptions: number;
  readonly kvPositionsReserved: number;
  readonly kvPositionsTotal: number;
  /** Prompt tokens that were looked up in the prefix cache, and those of them that were found. */
  readonly prefixQueriedTokens: number;
  readonly prefixHitTokens: number;
  /** In use by the prefix cache. */
  readonly prefixCacheBytes: number;
  /** Tokens that speculation proposed, and those of them that the model chose too. */
  readonly draftTokens: number;
  readonly acceptedDraftTokens: number;
  readonly adapterBytes: number;
  readonly adapterHits: number;
  readonly adapterMisses: number;
  readonly liveHandles: number;
  readonly residentBytes: number;
  /** What is in host memory. */
  readonly adapters: readonly AdapterReading[];
  /** Adapters that got a merged session, that lost theirs, and that could not be merged. */
  readonly mergePromotions: number;
  readonly mergeDemotions: number;
  readonly mergeFailures: number;
  readonly merged: readonly MergedReading[];
}

export type ToEngine =
  | { readonly kind: 'submit'; readonly request: GenerationRequest }
  | { readonly kind: 'cancel'; readonly id: RequestId }
  /** Exactly these adapters stay in host memory from now on, as far as their share of it goes. */
  | { readonly kind: 'pin'; readonly digests: readonly Digest[] }
  /** Requests may soon ask for this adapter. */
  | { readonly kind: 'prefetch'; readonly digest: Digest }
  /** How these adapters are applied from now on; every other one by measured cost. */
  | { readonly kind: 'place'; readonly placements: readonly (readonly [Digest, 'side' | 'merged'])[] }
  | { readonly kind: 'stats' }
  | { readonly kind: 'ping' }
  | { readonly kind: 'shutdown' };

export type FromEngine =
  | { readonly kind: 'ready'; readonly device: string; readonly precision: string; readonly maxContext: number }
  | { readonly kind: 'startup-failed'; readonly message: string }
  | { readonly kind: 'events'; readonly events: readonly EngineEvent[] }
  /** `asked`: one for each `stats` message, in their order; others come by themselves. */
  | { readonly kind: 'stats'; readonly stats: EngineStats; readonly asked: boolean }
  | { readonly kind: 'pong' };
