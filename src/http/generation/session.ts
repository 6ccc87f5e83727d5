// One inference request from lease to release: pins the adapter version, submits every row, and undoes all of it exactly once.
import { randomUUID } from 'node:crypto';
import { requestId, type TenantId } from '../../core/index.ts';
import type { Grammar } from '../../text/index.ts';
import type { AppServices } from '../services.ts';
import { Choice } from './choice.ts';
import type { PinnedAdapter } from './pin.ts';
import type { Prompt } from './prompt.ts';
import { choiceSeed, type SeedlessSampling } from './sampling.ts';

export interface GenerationSpec {
  readonly prompts: readonly Prompt[];
  /** Rows for each prompt. */
  readonly choicesPerPrompt: number;
  /** For each prompt, as `newTokenCount` answered it. */
  readonly maxNewTokens: readonly number[];
  /** `continuation`: text that goes on where the prompt ends. `answer`: a text of its own, as a chat message is. */
  readonly output: 'continuation' | 'answer';
  readonly stops: readonly string[];
  readonly stopTokenIds: readonly number[];
  readonly sampling: SeedlessSampling;
  /** Checked before. null: the output is free. */
  readonly grammar: Grammar | null;
  readonly seed: number;
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
}

/** What metrics want to know of sessions; each call is made at most once a session, `ended` exactly once. */
export interface SessionObserver {
  opened(adapter: PinnedAdapter | null): void;
  firstToken(adapter: PinnedAdapter | null): void;
  token(): void;
  ended(adapter: PinnedAdapter | null): void;
}

export class GenerationSession {
  /** null: the base model. */
  readonly adapter: PinnedAdapter | null;
  readonly #observer: SessionObserver;
  readonly #choices: Choice[] = [];
  readonly #leaders: Choice[] = [];
  #started = false;
  #closed = false;
  #generatedTokens = 0;

  /** Takes over what was pinned. */
  constructor(adapter: PinnedAdapter | null, observer: SessionObserver) {
    this.adapter = adapter;
    this.#observer = observer;
    observer.opened(adapter);
  }

  /** In the order of prompts, then of choices within a prompt. */
  get choices(): readonly Choice[] {
    return this.#choices;
  }

  get generatedTokens(): number {
    return this.#generatedTokens;
  }

  /** Prompt tokens that were in the engine's prefix cache before this request. What choices of one prompt share among them does not count. */
  get cachedTokens(): number {
    return this.#leaders.reduce((total, choice) => total + choice.cachedTokens, 0);
  }

  /** `leads`: it is the first of its prompt. */
  add(choice: Choice, leads: boolean): void {
    this.#choices.push(choice);
    if (leads) this.#leaders.push(choice);
  }

  /** Surfaces report each token here as they take it. */
  countToken(): void {
    this.#generatedTokens += 1;
    if (this.#started) {
      this.#observer.token();
      return;
    }
    this.#started = true;
    this.#observer.firstToken(this.adapter);
  }

  /** Cancels what still runs and releases the lease. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const choice of this.#choices) choice.cancel();
    this.adapter?.release();
    this.#observer.ended(this.adapter);
  }
}

/** Submits every row of a request. On failure the caller closes the session, which cancels the rows that got in. */
export function submitAll(services: AppServices, session: GenerationSession, tenant: TenantId, spec: GenerationSpec): void {
  const adapterDigest = session.adapter?.digest ?? null;
  const { tokenizer } = services.base;
  for (const [promptIndex, prompt] of spec.prompts.entries()) {
    const maxNewTokens = spec.maxNewTokens[promptIndex] ?? 0;
    // After BOS alone there is no text yet that could be continued.
    const continuesText = spec.output === 'continuation' && prompt.tokenIds.some((id) => !tokenizer.isSpecial(id));
    for (let choiceIndex = 0; choiceIndex < spec.choicesPerPrompt; choiceIndex += 1) {
      const generation = services.engine.submit({
        id: requestId(randomUUID()),
        group: tenant,
        promptTokenIds: prompt.tokenIds,
        adapterDigest,
        maxNewTokens,
        stopTokenIds: spec.stopTokenIds,
        sampling: { ...spec.sampling, seed: choiceSeed(spec.seed, choiceIndex) },
        ...(spec.grammar !== null && { grammar: spec.grammar }),
        logprobs: spec.logprobs,
        promptLogprobs: spec.promptLogprobs,
      });
      const choice = new Choice(generation, { tokenizer, stops: spec.stops, stopTokenIds: spec.stopTokenIds, maxNewTokens, continuesText });
      session.add(choice, choiceIndex === 0);
    }
  }
}
