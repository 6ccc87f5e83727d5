// Sessions of an executor, made when they are first needed: one for each graph profile of the decode form and of the prefill form.
import { hasInt8Tiles, processorFlags } from '../../core/index.ts';
import type { CompiledGraph, CompiledModel, GraphProfile, MergedForm, Precision } from '../../models/index.ts';
import {
  createSession,
  createSessionApart,
  mapWeights,
  type OrtEnvironment,
  type Session,
  type SharedWeights,
} from '../../runtime/index.ts';

export interface ChosenSession {
  readonly precision: Precision;
  readonly graph: CompiledGraph;
  readonly session: Session;
}

/**
 * Calls with at least this many tokens, of one row or one each of several, use the second form; below, its kernels save less than they cost.
 * Measured for float32 beside int8 and int4 on Zen 3: equal at 16 to 48 tokens, a third faster at 128. For w8a8 beside int8: faster from 4 on
 * with AMX, on Zen 4 equal at 4 to 6, a tenth faster at 8 (models/DECISIONS.md).
 */
function minTokensOf({ precision }: CompiledModel): number {
  if (precision === 'fp32') return 32;
  return hasInt8Tiles(processorFlags()) ? 4 : 8;
}

export class SessionTable implements Disposable {
  readonly #environment: OrtEnvironment;
  readonly #model: CompiledModel;
  readonly #second: CompiledModel | null;
  readonly #secondMinTokens: number;
  readonly #weights = new Map<CompiledModel, SharedWeights>();
  readonly #sessions = new Map<string, ChosenSession>();

  constructor(environment: OrtEnvironment, model: CompiledModel, second: CompiledModel | null) {
    this.#environment = environment;
    this.#model = model;
    this.#second = second;
    this.#secondMinTokens = second ? minTokensOf(second) : Infinity;
  }

  /** The session for a call of `tokenCount` tokens over all rows. Loads it at first use. */
  session(profile: GraphProfile, tokenCount: number): ChosenSession {
    const model = this.#modelFor(tokenCount);
    const key = `${profile}:${model.precision}`;
    const known = this.#sessions.get(key);
    if (known) return known;
    const graph = model.graphs[profile];
    const session = createSession(this.#environment, graph.path, { weights: { shared: this.#weightsOf(model), names: graph.weightNames } });
    const chosen = { precision: model.precision, graph, session };
    this.#sessions.set(key, chosen);
    return chosen;
  }

  /**
   * A session of its own over a merged form of the decode model, made on another thread; the caller owns it. @throws Error when it cannot
   * be made.
   */
  async createMerged({ graphPath, sharedNames }: MergedForm): Promise<ChosenSession> {
    const weights = { shared: this.#weightsOf(this.#model), names: sharedNames };
    const session = await createSessionApart(this.#environment, graphPath, { weights });
    return { precision: this.#model.precision, graph: { path: graphPath, weightNames: sharedNames, loraGroups: [] }, session };
  }

  isLoaded(profile: GraphProfile, tokenCount: number): boolean {
    return this.#sessions.has(`${profile}:${this.#modelFor(tokenCount).precision}`);
  }

  /** To be called when no session will be made soon. */
  releasePages(): void {
    for (const weights of this.#weights.values()) weights.releasePages();
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

  #modelFor(tokenCount: number): CompiledModel {
    return this.#second && tokenCount >= this.#secondMinTokens ? this.#second : this.#model;
  }

  #weightsOf(model: CompiledModel): SharedWeights {
    const known = this.#weights.get(model);
    if (known) return known;
    const weights = mapWeights(this.#environment, model.weightsPath, model.weights);
    this.#weights.set(model, weights);
    return weights;
  }
}
