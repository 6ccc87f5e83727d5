// Sessions of an executor, made when they are first needed: one for each graph profile of the decode form and of the prefill form.
import { processorFlags } from '../../core/index.ts';
import type { CompiledGraph, CompiledModel, GraphProfile, MergedForm, CommonProfile, Precision } from '../../models/index.ts';
import {
  createSession,
  createSessionApart,
  mapWeights,
  type OrtEnvironment,
  type Session,
  type SessionOptions,
  type SharedWeights,
} from '../../runtime/index.ts';
import { FormChoice } from './form-choice.ts';
import { SideLevels } from './side-levels.ts';

export interface ChosenSession {
  readonly precision: Precision;
  readonly graph: CompiledGraph;
  readonly session: Session;
}

/** `tokenCount` is that of all rows. rows, when `call` is absent: any call. token: one decoding row. */
export type WantedSession =
  | { readonly profile: GraphProfile; readonly tokenCount: number; readonly call?: 'rows' | 'token' }
  | { readonly profile: CommonProfile; readonly tokenCount: number; readonly call: 'mixed' };

export class SessionTable implements Disposable {
  /** null: no form takes levels of adapters. */
  readonly sideLevels: SideLevels | null;
  /** null: there is one form only. */
  readonly choice: FormChoice | null;
  readonly #environment: OrtEnvironment;
  readonly #model: CompiledModel;
  readonly #second: CompiledModel | null;

  readonly #weights = new Map<CompiledModel, SharedWeights>();
  readonly #sessions = new Map<string, ChosenSession>();
  #levelsSession: Session | null = null;

  constructor(environment: OrtEnvironment, model: CompiledModel, second: CompiledModel | null) {
    this.#environment = environment;
    this.#model = model;
    this.#second = second;
    this.choice = second && new FormChoice(second.precision, processorFlags());
    this.sideLevels = this.#createSideLevels(second?.sideLevels ? second : model);
  }

  /** The session for a call. Loads it at first use. */
  session(wanted: WantedSession): ChosenSession {
    return this.#load(wanted, this.#modelFor(wanted));
  }

  /** The session of one form for a call, whoever is chosen. */
  sessionOf(form: 'first' | 'second', wanted: WantedSession): ChosenSession {
    if (!this.#second) throw new Error('there is one form only');
    return this.#load(wanted, form === 'first' ? this.#model : this.#second);
  }

  formFor(profile: GraphProfile, tokenCount: number): Precision {
    return this.#modelFor({ profile, tokenCount }).precision;
  }

  #load(wanted: WantedSession, model: CompiledModel): ChosenSession {
    const graph = graphFor(wanted, model);
    const key = graph.path;
    const known = this.#sessions.get(key);
    if (known) return known;
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
    return this.#sessions.has(graphFor(wanted, this.#modelFor(wanted)).path);
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

  #modelFor({ profile, tokenCount, call }: WantedSession): CompiledModel {
    if (!this.#second || !this.choice) return this.#model;
    // Its side paths read levels, and a mixed call has two sets of them.
    if (call === 'mixed' && this.#second.sideLevels) return this.#second;
    return this.choice.takesSecond(profile, tokenCount) ? this.#second : this.#model;
  }

  #weightsOf(model: CompiledModel): SharedWeights {
    const known = this.#weights.get(model);
    if (known) return known;
    const weights = mapWeights(this.#environment, model.weightsPath, model.weights);
    this.#weights.set(model, weights);
    return weights;
  }
}

function graphFor(wanted: WantedSession, model: CompiledModel): CompiledGraph {
  if (wanted.call === 'mixed') return model.mixedGraphs[wanted.profile];
  const ofToken = wanted.call === 'token' && wanted.profile !== 'full' ? model.tokenGraphs?.[wanted.profile] : undefined;
  return ofToken ?? model.graphs[wanted.profile];
}
