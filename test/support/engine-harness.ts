// An engine over the fake model, driven step by step, that records events and checks the invariants after every action.
import { requestId, silentLogger, type Clock, type RequestId } from '../../src/core/index.ts';
import {
  Engine,
  NEUTRAL_SAMPLING,
  type EngineDependencies,
  type EngineEvent,
  type EngineLimits,
  type GenerationRequest,
} from '../../src/engine/index.ts';
import { violations } from '../../src/engine/invariants.ts';
import { adapterSource } from './fake-adapters.ts';
import { FakeExecutor } from './fake-executor.ts';
import { TEST_LIMITS } from './in-process-engine.ts';

export const GREEDY: GenerationRequest['sampling'] = { ...NEUTRAL_SAMPLING, seed: 0 };

/** A small greedy request for the base model, with what the test says otherwise. */
export function request(id: string, changes: Partial<Omit<GenerationRequest, 'id'>> = {}): GenerationRequest {
  return {
    id: requestId(id),
    group: 'default',
    promptTokenIds: [1, 2, 3],
    adapterDigest: null,
    maxNewTokens: 4,
    stopTokenIds: [],
    sampling: GREEDY,
    logprobs: null,
    promptLogprobs: null,
    ...changes,
  };
}

/** Milliseconds of what a fake executor does, in the proportions of a real one: a least cost for each call, then by tokens. */
export const FAKE_COST_MS = {
  addRow: (_: number, merged = false) => (merged ? 0 : 20),
  moveRow: (_: number, merged = false) => (merged ? 2 : 20),
  prefill: (tokenCount: number) => 8 + 2 * tokenCount,
  chunk: (tokenCount: number) => 2 * tokenCount,
  decode: (rowCount: number, merged = false) => 6 + (merged ? 3 : 4) * rowCount,
};

/** Time moves only when a test or the executor's work moves it. */
export class ManualClock implements Clock {
  nowMs = 0;
  now(): number {
    return this.nowMs;
  }
  monotonic(): number {
    return this.nowMs;
  }
}

export interface HarnessOptions {
  readonly executor?: FakeExecutor;
  readonly adapters?: EngineDependencies['adapters'];
  readonly constraints?: NonNullable<EngineDependencies['constraints']>;
  readonly limits?: Partial<EngineLimits>;
}

export class EngineHarness {
  readonly executor: FakeExecutor;
  readonly engine: Engine;
  readonly clock = new ManualClock();
  readonly events: EngineEvent[] = [];
  /** Events of each emission, to see how they were batched. */
  readonly batches: (readonly EngineEvent[])[] = [];

  constructor(options: HarnessOptions = {}) {
    this.executor = options.executor ?? new FakeExecutor();
    this.executor.onWork = (operation, tokenCount, merged) => {
      this.clock.nowMs += FAKE_COST_MS[operation](tokenCount, merged);
    };
    const emit = (events: readonly EngineEvent[]): void => {
      this.batches.push(events);
      this.events.push(...events);
    };
    const adapters = options.adapters ?? adapterSource([]);
    const limits = { ...TEST_LIMITS, ...options.limits };
    const { constraints } = options;
    const dependencies = {
      executor: this.executor,
      adapters,
      ...(constraints && { constraints }),
      clock: this.clock,
      logger: silentLogger,
      emit,
    };
    this.engine = new Engine(dependencies, limits);
  }

  submit(submitted: GenerationRequest): void {
    this.engine.submit(submitted);
    this.check();
  }

  cancel(id: string): void {
    this.engine.cancel(requestId(id));
    this.check();
  }

  step(): ReturnType<Engine['step']> {
    const outcome = this.engine.step();
    this.check();
    return outcome;
  }

  /** Steps until nothing runs; while requests wait, loads may end between the steps. @throws Error when the engine does not come to rest. */
  async run(maxSteps = 20_000): Promise<void> {
    for (let step = 0; step < maxSteps; step += 1) {
      const idle = this.step().kind === 'idle';
      if (this.engine.stats().waitingRequests > 0) await new Promise(setImmediate);
      else if (idle) return;
    }
    throw new Error(`the engine still works after ${maxSteps} steps`);
  }

  eventsOf(id: string): readonly EngineEvent[] {
    return this.events.filter((event) => event.id === requestId(id));
  }

  tokensOf(id: string): readonly number[] {
    return this.eventsOf(id).flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
  }

  /** The last event of a request as `finished length`, `failed overloaded`, …; null while it lives. */
  endOf(id: string): string | null {
    const last = this.eventsOf(id).at(-1);
    if (last?.kind === 'finished') return `finished ${last.reason}`;
    return last?.kind === 'failed' ? `failed ${last.code}` : null;
  }

  /** @throws Error that names every broken invariant. */
  check(): void {
    const broken = [...violations(this.engine.snapshot()), ...eventViolations(this.events)];
    if (broken.length > 0) throw new Error(broken.join('; '));
  }
}

/** A request ends at most once, and nothing of it comes after its end. */
function* eventViolations(events: readonly EngineEvent[]): Iterable<string> {
  const ended = new Set<RequestId>();
  for (const event of events) {
    if (ended.has(event.id)) yield `request ${event.id} has a ${event.kind} event after its end`;
    if (event.kind === 'finished' || event.kind === 'failed') ended.add(event.id);
  }
}
