// Sessions of an executor, made when they are first needed: one for each graph profile of the decode form and of the prefill form.
import type { CompiledGraph, CompiledModel, GraphProfile, Precision } from '../../models/index.ts';
import { createSession, mapWeights, type OrtEnvironment, type Session, type SharedWeights } from '../../runtime/index.ts';

export interface ChosenSession {
  readonly precision: Precision;
  readonly graph: CompiledGraph;
  readonly session: Session;
}

export interface PrefillForm {
  readonly model: CompiledModel;
  /** Calls with at least this many tokens of a row use it; below, reading its larger weights costs more than its kernels save. */
  readonly minTokens: number;
}

export class SessionTable implements Disposable {
  readonly #environment: OrtEnvironment;
  readonly #model: CompiledModel;
  readonly #prefill: PrefillForm | null;
  readonly #weights = new Map<CompiledModel, SharedWeights>();
  readonly #sessions = new Map<string, ChosenSession>();

  constructor(environment: OrtEnvironment, model: CompiledModel, prefill: PrefillForm | null) {
    this.#environment = environment;
    this.#model = model;
    this.#prefill = prefill;
  }

  /** The session for a call of `tokenCount` tokens a row. Loads it at first use. */
  session(profile: GraphProfile, tokenCount: number): ChosenSession {
    const model = this.#prefill && tokenCount >= this.#prefill.minTokens ? this.#prefill.model : this.#model;
    const key = `${profile}:${model.precision}`;
    const known = this.#sessions.get(key);
    if (known) return known;
    const graph = model.graphs[profile];
    const session = createSession(this.#environment, graph.path, { weights: { shared: this.#weightsOf(model), names: graph.weightNames } });
    const chosen = { precision: model.precision, graph, session };
    this.#sessions.set(key, chosen);
    return chosen;
  }

  dispose(): void {
    for (const { session } of this.#sessions.values()) session.dispose();
    this.#sessions.clear();
    for (const weights of this.#weights.values()) weights.dispose();
    this.#weights.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #weightsOf(model: CompiledModel): SharedWeights {
    const known = this.#weights.get(model);
    if (known) return known;
    const weights = mapWeights(this.#environment, model.weightsPath, model.weights);
    this.#weights.set(model, weights);
    return weights;
  }
}
