// The front's side of the messages: an EngineClient over a link to an engine process that may die and come back.
import { AppError, type Digest, type RequestId } from '../core/index.ts';
import type { EngineClient, Generation } from './client-port.ts';
import { EventQueue } from './event-queue.ts';
import type { EngineEvent, EngineStats, FromEngine, GenerationRequest, ToEngine } from './messages.ts';

/** The way to the engine process; a supervisor of `processes/` is one. */
export interface EngineLink {
  /** False when no process takes messages now. */
  send(message: ToEngine): boolean;
  onMessage(listener: (message: FromEngine) => void): void;
  /** The process has gone; all its messages were delivered before. */
  onDown(listener: () => void): void;
}

/** What the engine said when it became ready. */
export type EngineIdentity = Omit<FromEngine & { readonly kind: 'ready' }, 'kind'>;

export interface RemoteClientOptions {
  /** Requests that may be open at once; more are refused as overloaded. The engine's batch and queue together. */
  readonly maxOpenRequests: number;
  /** Told to callers while no engine runs: how long a restart usually takes. */
  readonly restartSeconds?: number;
  /** How long `refreshStats` waits before it answers with the latest reading. */
  readonly statsTimeoutMs?: number;
}

const DEFAULT_RESTART_SECONDS = 5;
const DEFAULT_STATS_TIMEOUT_MS = 2000;
const OVERLOAD_RETRY_SECONDS = 1;

/** Each generation's events end exactly once, also when the process dies. */
export class RemoteEngineClient implements EngineClient {
  readonly #link: EngineLink;
  readonly #maxOpenRequests: number;
  readonly #restartSeconds: number;
  readonly #statsTimeoutMs: number;
  readonly #open = new Map<RequestId, EventQueue<EngineEvent>>();
  #pinned: readonly Digest[] = [];
  #placements: readonly (readonly [Digest, 'side' | 'merged'])[] = [];
  #identity: EngineIdentity | null = null;
  #stats: EngineStats | null = null;
  /** One for each `stats` message that was not answered yet, in their order. */
  readonly #statsReaders: (() => void)[] = [];
  readonly #startReaders: { readonly resolve: (identity: EngineIdentity) => void; readonly reject: (error: AppError) => void }[] = [];

  constructor(link: EngineLink, options: RemoteClientOptions) {
    this.#link = link;
    this.#maxOpenRequests = options.maxOpenRequests;
    this.#restartSeconds = options.restartSeconds ?? DEFAULT_RESTART_SECONDS;
    this.#statsTimeoutMs = options.statsTimeoutMs ?? DEFAULT_STATS_TIMEOUT_MS;
    link.onMessage((message) => this.#receive(message));
    link.onDown(() => this.#down());
  }

  submit(request: GenerationRequest): Generation {
    if (this.#open.has(request.id)) throw new Error(`request id ${request.id} is in use`);
    if (this.#identity === null) throw this.#unavailable();
    if (this.#open.size >= this.#maxOpenRequests) {
      const message = `the server is at its limit of ${this.#maxOpenRequests} requests at a time; try again soon`;
      throw new AppError('overloaded', message, { retryAfterSeconds: OVERLOAD_RETRY_SECONDS });
    }
    if (!this.#link.send({ kind: 'submit', request })) throw this.#unavailable();
    const cancel = (): void => this.#cancel(request.id);
    const events = new EventQueue<EngineEvent>(cancel);
    this.#open.set(request.id, events);
    return { events, cancel };
  }

  pin(digests: readonly Digest[]): void {
    this.#pinned = digests;
    if (this.#identity !== null) this.#link.send({ kind: 'pin', digests });
  }

  prefetch(digest: Digest): void {
    if (this.#identity !== null) this.#link.send({ kind: 'prefetch', digest });
  }

  place(placements: readonly (readonly [Digest, 'side' | 'merged'])[]): void {
    this.#placements = placements;
    if (this.#identity !== null) this.#link.send({ kind: 'place', placements });
  }

  isReady(): boolean {
    return this.#identity !== null;
  }

  stats(): EngineStats | null {
    return this.#stats;
  }

  refreshStats(): Promise<EngineStats | null> {
    if (!this.#link.send({ kind: 'stats' })) return Promise.resolve(this.#stats);
    return new Promise((resolve) => {
      const answer = (): void => {
        clearTimeout(timer);
        resolve(this.#stats);
      };
      const timer = setTimeout(answer, this.#statsTimeoutMs);
      this.#statsReaders.push(answer);
    });
  }

  /** Requests whose events have not ended, for draining. */
  get openRequests(): number {
    return this.#open.size;
  }

  /** Resolves when the engine is ready, at once if it is. @throws AppError engine_unavailable with the engine's own reason when its start fails. */
  whenReady(): Promise<EngineIdentity> {
    if (this.#identity !== null) return Promise.resolve(this.#identity);
    return new Promise((resolve, reject) => {
      this.#startReaders.push({ resolve, reject });
    });
  }

  #cancel(id: RequestId): void {
    if (this.#open.has(id)) this.#link.send({ kind: 'cancel', id });
  }

  #receive(message: FromEngine): void {
    switch (message.kind) {
      case 'ready': {
        const { kind: _kind, ...identity } = message;
        this.#identity = identity;
        // A new process knows of no pins and placements.
        if (this.#pinned.length > 0) this.#link.send({ kind: 'pin', digests: this.#pinned });
        if (this.#placements.length > 0) this.#link.send({ kind: 'place', placements: this.#placements });
        for (const reader of this.#startReaders.splice(0)) reader.resolve(identity);
        return;
      }
      case 'startup-failed':
        for (const reader of this.#startReaders.splice(0)) reader.reject(new AppError('engine_unavailable', message.message));
        return;
      case 'events':
        for (const event of message.events) this.#deliver(event);
        return;
      case 'stats':
        this.#stats = message.stats;
        // Those that come by themselves may be older than what was asked for.
        if (message.asked) this.#statsReaders.shift()?.();
        return;
      case 'pong':
    }
  }

  #deliver(event: EngineEvent): void {
    const queue = this.#open.get(event.id);
    if (queue === undefined) return;
    queue.push(event);
    if (event.kind !== 'finished' && event.kind !== 'failed') return;
    this.#open.delete(event.id);
    queue.end();
  }

  #down(): void {
    this.#identity = null;
    for (const answer of this.#statsReaders.splice(0)) answer();
    const { code, message } = this.#unavailable();
    for (const id of this.#open.keys()) this.#deliver({ kind: 'failed', id, code, message, retryAfterSeconds: this.#restartSeconds });
  }

  #unavailable(): AppError {
    const message = 'the inference engine is starting or restarting; try again soon';
    return new AppError('engine_unavailable', message, { retryAfterSeconds: this.#restartSeconds });
  }
}
