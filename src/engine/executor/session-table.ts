// Sessions of an executor, made when they are first needed: one for each graph profile of the decode form and of the prefill form.
import { hasInt8Tiles, processorFlags } from '../../core/index.ts';
import type { CompiledGraph, CompiledModel, GraphProfile, MergedForm, Precision } from '../../models/index.ts';
import {
  createSession,
  createSessionApart,
  mapWeights,
  type OrtEnvironment,
  type Session,
  type SessionOptions,
  type SharedWeights,
} from '../../runtime/index.ts';
import { SideLevels } from './side-levels.ts';

export interface ChosenSession {
  readonly precision: Precision;
  readonly graph: CompiledGraph;
  readonly session: Session;
}

/**
 * Calls with at least this many tokens, of one row or one each of several, use the second form; below, its kernels save less than they cost.
 * Measured for float32 beside int8 and int4 on Zen 3: equal at 16 to 48 tokens, a third faster at 128. For w8a8 beside int8: faster from 4 on
 * with AMX, on Zen 4 equal at 4 to 6, a tenth faster at 8, and with adapters, whose A it reads in int8, from 5 on (DECISIONS.md of models/ and engine/).
 */
export function leastTokensOfSecond({ precision }: CompiledModel): Readonly<Record<GraphProfile, number>> {
  if (precision === 'fp32') return { none: 32, linear: 32, full: 32 };
  return hasInt8Tiles(processorFlags()) ? { none: 4, linear: 4, full: 4 } : { none: 8, linear: 5, full: 5 };
}

export class SessionTable implements Disposable {
  /** null: no form takes levels of adapters. */
  readonly sideLevels: SideLevels | null;
  readonly #environment: OrtEnvironment;
  readonly #model: CompiledModel;
  readonly #second: CompiledModel | null;
  readonly #leastTokens: Readonly<Record<GraphProfile, number>> | null;
  readonly #weights = new Map<CompiledModel, SharedWeights>();
  readonly #sessions = new Map<string, ChosenSession>();
  #levelsSession: Session | null = null;

  constructor(environment: OrtEnvironment, model: CompiledModel, second: CompiledModel | null) {
    this.#environment = environment;
    this.#model = model;
    this.#second = second;
    this.#leastTokens = second && leastTokensOfSecond(second);
    this.sideLevels = this.#createSideLevels(second?.sideLevels ? second : model);
  }

  /** The session for a call of `tokenCount` tokens over all rows. Loads it at first use. */
  session(profile: GraphProfile, tokenCount: number): ChosenSession {
    const model = this.#modelFor(profile, tokenCount);
    const key = `${profile}:${model.precision}`;
    const known = this.#sessions.get(key);
    if (known) return known;
    const graph = model.graphs[profile];
    const session = createSession(this.#environment, graph.path, { weights: { shared: this.#weightsOf(model), names: graph.weightNames } });
    const chosen = { precision: model.precision, graph, session };
    this.#sessions.set(key, chosen);
    // Rows with adapters need it before their first call.
    if (profile !== 'none' && model.sideLevels) this.sideLevels?.prepare();
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
    return this.#sessions.has(`${profile}:${this.#modelFor(profile, tokenCount).precision}`);
  }

  /** To be called when no session will be made soon. */
  releasePages(): void {
    for (const weights of this.#weights.values()) weights.releasePages();
  }

  dispose(): void {
    for (const { session } of this.#sessions.values()) session.dispose();
    this.#sessions.clear();
    this.#levelsSession?.dispose();
    this.#levelsSession = null;
    for (const weights of this.#weights.values()) weights.dispose();
    this.#weights.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #createSideLevels(model: CompiledModel): SideLevels | null {
    const { sideLevels: graph } = model;
    if (graph === null) return null;
    const weights = (): SessionOptions => ({ weights: { shared: this.#weightsOf(model), names: graph.weightNames } });
    return new SideLevels(
      this.#environment,
      graph,
      () => (this.#levelsSession ??= createSession(this.#environment, graph.path, weights())),
    );
  }

  #modelFor(profile: GraphProfile, tokenCount: number): CompiledModel {
    return this.#second && this.#leastTokens && tokenCount >= this.#leastTokens[profile] ? this.#second : this.#model;
  }

  #weightsOf(model: CompiledModel): SharedWeights {
    const known = this.#weights.get(model);
    if (known) return known;
    const weights = mapWeights(this.#environment, model.weightsPath, model.weights);
    this.#weights.set(model, weights);
    return weights;
  }
}
