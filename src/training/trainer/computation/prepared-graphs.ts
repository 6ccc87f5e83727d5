// Graphs that are made when they are first needed: one for each purpose, number of layers that are computed again, and for batches with shared tokens.
import type { KeptValue, SiteInputs } from '../../../graph/index.ts';
import type { Binding } from '../../../runtime/index.ts';
import type { BaseSessions } from './base-session.ts';
import type { Batch } from './batch.ts';
import { recomputedLayersFor } from './memory-plan.ts';
import { buildTrainingGraph, type TrainingGraphOptions } from './training-graph.ts';

export type Purpose = 'train' | 'train-with-dropout' | 'evaluate';

export interface PreparedGraphsOptions extends Pick<TrainingGraphOptions, 'config' | 'sites' | 'basePrecision'> {
  /** Bytes that values kept for the backward pass may take. */
  readonly memoryBudgetBytes: number;
}

type Variant = Pick<TrainingGraphOptions, 'recomputedLayers' | 'sharesTokens'>;

export interface Prepared {
  readonly binding: Binding;
  readonly inputNames: ReadonlySet<string>;
  readonly siteInputs: readonly SiteInputs[];
}

export class PreparedGraphs {
  readonly #base: BaseSessions;
  readonly #options: PreparedGraphsOptions;
  readonly #bindFixed: (prepared: Prepared, purpose: Purpose) => void;
  readonly #prepared = new Map<string, Prepared>();
  readonly #kept = new Map<Purpose, readonly KeptValue[]>();

  constructor(base: BaseSessions, options: PreparedGraphsOptions, bindFixed: (prepared: Prepared, purpose: Purpose) => void) {
    this.#base = base;
    this.#options = options;
    this.#bindFixed = bindFixed;
  }

  for(purpose: Purpose, batch: Batch): Prepared {
    const { config, memoryBudgetBytes } = this.#options;
    const kept = this.#keptBy(purpose);
    const recomputedLayers = recomputedLayersFor(batch, { ...config, kept, budgetBytes: memoryBudgetBytes });
    // Shared tokens make a difference in the backward pass alone.
    const sharesTokens = batch.shared !== null && purpose !== 'evaluate';
    const key = `${purpose} ${recomputedLayers} ${sharesTokens}`;
    const prepared = this.#prepared.get(key) ?? this.#open(purpose, { recomputedLayers, sharesTokens });
    this.#prepared.set(key, prepared);
    return prepared;
  }

  close(): void {
    for (const { binding } of this.#prepared.values()) binding.dispose();
  }

  #keptBy(purpose: Purpose): readonly KeptValue[] {
    const kept = this.#kept.get(purpose) ?? this.#build(purpose, { recomputedLayers: 0, sharesTokens: false }).kept;
    this.#kept.set(purpose, kept);
    return kept;
  }

  #build(purpose: Purpose, variant: Variant) {
    const { config, sites, basePrecision } = this.#options;
    const dropout = purpose === 'train-with-dropout';
    return buildTrainingGraph({ config, sites, basePrecision, dropout, gradients: purpose !== 'evaluate', ...variant });
  }

  #open(purpose: Purpose, variant: Variant): Prepared {
    const { graph, siteInputs } = this.#build(purpose, variant);
    const binding = this.#base.open(graph);
    const prepared = { binding, siteInputs, inputNames: new Set(graph.inputs.map(({ name }) => name)) };
    this.#bindFixed(prepared, purpose);
    return prepared;
  }
}
