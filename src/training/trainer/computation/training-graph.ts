// From a base's config and the trained sites to one graph: forward, loss, backward.
import { buildLlamaTraining, type LlamaConfig } from '../../../architectures/index.ts';
import {
  differentiate,
  eliminateDeadCode,
  expandLogSumExp,
  fuseProjections,
  type Graph,
  runPasses,
  type SiteInputs,
  trainSites,
  type Value,
} from '../../../graph/index.ts';
import type { TrainedSite } from '../ports.ts';

export interface TrainingGraphOptions {
  readonly config: LlamaConfig;
  readonly sites: readonly Pick<TrainedSite, 'site' | 'rank' | 'scale' | 'dora' | 'origin'>[];
  readonly dropout: boolean;
  /** Whether the graph computes gradients, as outputs `gradient.<name of the input>`. */
  readonly gradients: boolean;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** In the order of evaluation. */
  readonly siteInputs: readonly SiteInputs[];
}

export const LOSS_OUTPUT = 'loss';

export function gradientOutput(input: Value): string {
  return `gradient.${input.name}`;
}

/** Inputs of a site that gradients are taken by. */
export function trainedInputs({ kind, a, aRows, b, bRows, magnitude, magnitudeRows }: SiteInputs): readonly Value[] {
  return [kind === 'embedding' ? aRows : a, b, bRows, magnitude, magnitudeRows].filter((value) => value !== null);
}

export function buildTrainingGraph({ config, sites, dropout, gradients }: TrainingGraphOptions): TrainingGraph {
  const { graph, loss, targets, inverses } = buildLlamaTraining(config, { maxContext: config.maxContext });
  runPasses(graph, [fuseProjections]);
  const specs = sites.map(({ site, rank, scale, dora, origin }) => ({ site, rank, scale, dora, origin: origin !== null }));
  const { inputs: siteInputs, stop } = trainSites(graph, { sites: specs, targets, dropout });
  if (gradients) {
    const by = siteInputs.flatMap(trainedInputs);
    const found = differentiate(graph, { of: loss, by, stop, inverses });
    for (const [input, gradient] of found) graph.addOutput(gradient, gradientOutput(input));
  }
  graph.addOutput(loss, LOSS_OUTPUT);
  runPasses(graph, [expandLogSumExp, eliminateDeadCode]);
  return { graph, siteInputs };
}
