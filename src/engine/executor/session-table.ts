// Sessions of an executor, made when they are first needed: one for each graph profile of the decode form and of the prefill form.
import { hasInt8Tiles, processorFlags } from '../../core/index.ts';
import type { CompiledGraph, CompiledModel, GraphProfile, MergedForm, MixedProfile, Precision } from '../../models/index.ts';
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

export type WantedSession =
  | { readonly profile: GraphProfile; readonly tokenCount: number; readonly mixed?: false }
  | { readonly profile: MixedProfile; readonly tokenCount: number; readonly mixed: true };

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
    return this.load({ profile, tokenCount });
  }

  /** The session for a mixed call of so many tokens over both parts. Loads it at first use. */
  mixedSession(profile: MixedProfile, tokenCount: number): ChosenSession {
    return this.load({ profile, tokenCount, mixed: true });
  }

  load(wanted: WantedSession): ChosenSession {
    const model = this.#modelFor(wanted);
    const key = keyOf(wanted, model);
    const known = this.#sessions.get(key);
    if (known) return known;
    const graph = wanted.mixed ? model.mixedGraphs[wanted.profile] : model.graphs[wanted.profile];
    const session = createSession(this.#environment, graph.path, { weights: { shared: this.#weightsOf(model), names: graph.weightNames } });
    const chosen = { precision: model.precision, graph, session };
    this.#sessions.set(key, chosen);
    // Rows with adapters need it before their first call.
    if (wanted.profile !== 'none' && model.sideLevels) this.sideLevels?.prepare();
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

  isLoaded(wanted: WantedSession): boolean {
    return this.#sessions.has(keyOf(wanted, this.#modelFor(wanted)));
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
    return new SideLevels(graph, () => (this.#levelsSession ??= createSession(this.#environment, graph.path, weights())));
  }

  #modelFor({ profile, tokenCount, mixed = false }: WantedSession): CompiledModel {
    if (!this.#second || !this.#leastTokens) return this.#model;
    // Its side paths read levels, and a mixed call has two sets of them.
    if (mixed && this.#second.sideLevels) return this.#second;
    return tokenCount >= this.#leastTokens[profile] ? this.#second : this.#model;
  }

  #weightsOf(model: CompiledModel): SharedWeights {
    const known = this.#weights.get(model);
    if (known) return known;
    const weights = mapWeights(this.#environment, model.weightsPath, model.weights);
    this.#weights.set(model, weights);
    return weights;
  }
}

function keyOf({ profile, mixed = false }: WantedSession, { precision }: CompiledModel): string {
  return `${mixed ? 'mixed ' : ''}${profile}:${precision}`;
}
