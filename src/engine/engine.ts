// The engine of one base model: takes requests, steps, reports. Knows neither processes nor messages, only its ports.
import { describeError, type Digest, type RequestId } from '../core/index.ts';
import { settleConstraints } from './constraints.ts';
import { joinWaiting } from './join.ts';
import { fail, finish } from './leave.ts';
import { stepMerging } from './merging.ts';
import type { EngineStats, GenerationRequest } from './messages.ts';
import { BLOCK_POSITIONS } from './ports.ts';
import { refusalOf } from './request-checks.ts';
import { recordArrival } from './scheduler/admission.ts';
import { Sequence } from './sequence.ts';
import { snapshotOf, type EngineSnapshot } from './snapshot.ts';
import { createState, type EngineDependencies, type EngineLimits, type EngineState } from './state.ts';
import { runStep, type StepOutcome } from './step.ts';

/**
 * Single-threaded: every call runs to its end before the next. Each accepted or refused request gets exactly one last event,
 * `finished` or `failed`, and none after it.
 */
export class Engine {
  readonly #state: EngineState;
  #wake: () => void = () => undefined;

  /** @throws AppError usage when the limits allow no request at all. */
  constructor(dependencies: EngineDependencies, limits: EngineLimits) {
    this.#state = createState(dependencies, limits);
    dependencies.constraints?.onChange(() => this.#wake());
  }

  /** Positions that one request may use, prompt and output together. */
  get maxContext(): number {
    return this.#state.maxContext;
  }

  /** Called whenever new work may have appeared: a request, or an adapter that has loaded. One listener. */
  onWork(listener: () => void): void {
    this.#wake = listener;
  }

  submit(request: GenerationRequest): void {
    const state = this.#state;
    if (state.sequences.has(request.id)) throw new Error(`request id ${request.id} is in use`);
    const refusal =
      refusalOf(request, { vocabularySize: state.executor.shape.vocabularySize, maxContext: state.maxContext }) ??
      this.#overload() ??
      this.#withoutGrammars(request);
    if (refusal !== null) {
      state.outbox.push({ kind: 'failed', id: request.id, ...refusal });
      this.#flush();
      return;
    }
    const constraint =
      request.grammar === undefined ? null : (state.dependencies.constraints?.open(request.grammar, request.group) ?? null);
    const sequence = new Sequence(request, state.nextArrival, constraint);
    if (constraint !== null) state.constrained.add(sequence);
    state.nextArrival += 1;
    recordArrival(state.groupTurns, request.group, new Set([...state.waiting].map(({ group }) => group)));
    state.sequences.set(request.id, sequence);
    state.waiting.add(sequence);
    this.#wake();
  }

  /** Frees what the request holds at once. Unknown and ended requests are ignored: a cancellation may cross the last event. */
  cancel(id: RequestId): void {
    const sequence = this.#state.sequences.get(id);
    if (sequence === undefined) return;
    finish(this.#state, sequence, 'cancelled');
    this.#flush();
    this.#wake();
  }

  /** Makes exactly these adapters stay in host memory, see `AdapterResidency.pin`. One that cannot be loaded is logged; requests for it try again. */
  pin(digests: readonly Digest[]): void {
    const { residency, dependencies } = this.#state;
    void residency.pin(digests, (digest, error) =>
      dependencies.logger.error({ digest, error: describeError(error) }, 'loading a pinned adapter failed'),
    );
  }

  /** Loads an adapter before anybody asks for it, see `AdapterResidency.prefetch`. One that cannot be loaded is logged; requests for it try again. */
  prefetch(digest: Digest): void {
    const { residency, dependencies } = this.#state;
    residency.prefetch(digest).catch((error: unknown) => {
      dependencies.logger.warn({ digest, error: describeError(error) }, 'loading an adapter ahead failed');
    });
  }

  /** How the operator wants adapters to be applied; all others are left to measured costs. */
  place(placements: Parameters<EngineState['merging']['place']>[0]): void {
    this.#state.merging.place(placements);
    this.#wake();
  }

  /** Lets requests join, runs at most one session call and emits its events. */
  step(): StepOutcome {
    const settled = (): void => {
      this.#flush();
      this.#wake();
    };
    settleConstraints(this.#state);
    stepMerging(this.#state, settled);
    joinWaiting(this.#state, settled);
    const outcome = runStep(this.#state);
    this.#flush();
    return outcome;
  }

  /** See `ModelExecutor.prepareNext`. */
  prepareNext(): boolean {
    return this.#state.executor.prepareNext();
  }

  stats(): EngineStats {
    const { counters, executor, ledger, merging, prefixCache, residency, running, waiting } = this.#state;
    return {
      runningRequests: running.size,
      waitingRequests: waiting.size,
      ...counters,
      kvPositionsReserved: ledger.reserved,
      kvPositionsTotal: ledger.total,
      prefixCacheBytes: prefixCache.size * BLOCK_POSITIONS * executor.shape.kvBytesPerPosition,
      adapterBytes: residency.bytes,
      adapterHits: residency.hits,
      adapterMisses: residency.misses,
      liveHandles: executor.liveHandles(),
      residentBytes: process.memoryUsage.rss(),
      adapters: residency.list(),
      mergePromotions: merging.promotions,
      mergeDemotions: merging.demotions,
      mergeFailures: merging.failures,
      merged: merging.list(),
    };
  }

  /** A copy of the bookkeeping, for `invariants.ts`. */
  snapshot(): EngineSnapshot {
    return snapshotOf(this.#state);
  }

  /** Fails what is left and closes the executor. */
  close(): void {
    for (const sequence of this.#state.sequences.values()) {
      fail(this.#state, sequence, 'engine_unavailable', 'the engine was stopped before this request ended');
    }
    this.#flush();
    this.#state.executor.close();
  }

  #withoutGrammars({ grammar }: GenerationRequest): { readonly code: 'invalid_request'; readonly message: string } | null {
    if (grammar === undefined || this.#state.dependencies.constraints !== undefined) return null;
    return { code: 'invalid_request', message: `this engine takes no grammars, got one of kind ${grammar.kind}` };
  }

  #overload(): { readonly code: 'overloaded'; readonly message: string; readonly retryAfterSeconds: number } | null {
    const { limits, sequences } = this.#state;
    if (sequences.size < limits.maxBatch + limits.maxWaiting) return null;
    return { code: 'overloaded', message: `the queue is full: ${limits.maxWaiting} requests are waiting`, retryAfterSeconds: 1 };
  }

  #flush(): void {
    const events = this.#state.outbox;
    if (events.length === 0) return;
    this.#state.outbox = [];
    this.#state.dependencies.emit(events);
  }
}
