// What the front sees of an engine: submit a request, read its events, cancel it. http/ depends on this port, not on processes.
import type { Digest } from '../core/index.ts';
import type { EngineEvent, EngineStats, GenerationRequest } from './messages.ts';

export interface Generation {
  /**
   * Events of one request in order; ends after `finished` or `failed`. When the engine process dies, it ends with a
   * `failed` event of code `engine_unavailable`.
   */
  readonly events: AsyncIterable<EngineEvent>;
  /** Frees the row by the next step; the events end with reason `cancelled`. Idempotent. */
  cancel(): void;
}

export interface EngineClient {
  /** @throws AppError `engine_unavailable` (503, Retry-After) while no engine runs, `overloaded` when the queue is full. */
  submit(request: GenerationRequest): Generation;
  /** Exactly these packed adapters stay in the engine's memory, also after its restarts. */
  pin(digests: readonly Digest[]): void;
  /** Requests may soon ask for this packed adapter: the engine that runs now, if one does, loads it where it has room. */
  prefetch(digest: Digest): void;
  /** Exactly these adapters are applied as said, also after the engine's restarts; every other one by measured cost. */
  place(placements: readonly (readonly [Digest, 'side' | 'merged'])[]): void;
  isReady(): boolean;
  /** Latest reading; null before the first. */
  stats(): EngineStats | null;
  /** Asks the engine for a fresh reading. */
  refreshStats(): Promise<EngineStats | null>;
}
