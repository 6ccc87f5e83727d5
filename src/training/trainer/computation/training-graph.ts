// From a base's config and the trained sites to one graph: forward, loss, backward.
import { compileTraining, type LlamaConfig, type TrainingDecoder } from '../../../architectures/index.ts';
import {
  differentiate,
  eliminateDeadCode,
  expandLogSumExp,
  type Graph,
  type KeptValue,
  keptValues,
  type Node,
  recompute,
  runPasses,
  scheduleBackward,
  type SiteInputs,
  stackSideInputs,
  trainSites,
  type Value,
} from '../../../graph/index.ts';
import type { ComputationOptions, TrainedSite } from '../ports.ts';

export interface TrainingGraphOptions {
  readonly config: LlamaConfig;
  readonly basePrecision: ComputationOptions['basePrecision'];
  readonly sites: readonly Pick<TrainedSite, 'site' | 'rank' | 'scale' | 'dora' | 'origin'>[];
  readonly dropout: boolean;
  /** Whether the graph computes gradients, as outputs `gradient.<name of the input>`. */
  readonly gradients: boolean;
  /** Layers from 0 whose values are computed again in the backward pass instead of kept. */
  readonly recomputedLayers: number;
  /** Whether the gradients are right where tokens have places in several rows. */
  readonly sharesTokens: boolean;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** In the order of evaluation. */
  readonly siteInputs: readonly SiteInputs[];
  /** What the backward pass would keep of the forward pass if nothing were computed again. */
  readonly kept: readonly KeptValue[];
}

/**
 * Tokens of the vocabulary whose logits are made at a time; a multiple of the rows that kernels work on. Lines of logits must not be a multiple
 * of 4 KiB long, or the rows that a kernel reads side by side displace each other from the processor's first cache.
 */
const HEAD_ROWS = 5472;

export const LOSS_OUTPUT = 'loss';

export function gradientOutput(value: Value): string {
  return `gradient.${value.name}`;
}

/** Inputs of a site that gradients are taken by. */
export function trainedInputs({ kind, a, aRows, b, bRows, magnitude, magnitudeRows }: SiteInputs): readonly Value[] {
  return [kind === 'embedding' ? aRows : a, b, bRows, magnitude, magnitudeRows].filter((value) => value !== null);
}

export function buildTrainingGraph(options: TrainingGraphOptions): TrainingGraph {
  const { sites, dropout, gradients } = options;
  const decoder = buildTrainingDecoder(
    options,
    sites.some(({ site }) => site === 'head'),
  );
  const { graph, loss, targets } = decoder;
  const specs = sites.map(({ site, rank, scale, dora, origin }) => ({ site, rank, scale, dora, origin: origin !== null }));
  const { inputs: siteInputs, stop } = trainSites(graph, { sites: specs, targets, dropout });
  runPasses(graph, [stackSideInputs]);
  if (gradients)
    return { graph, siteInputs, kept: addGradients(decoder, siteInputs.flatMap(trainedInputs), stop, options.recomputedLayers) };
  graph.addOutput(loss, LOSS_OUTPUT);
  runPasses(graph, [expandLogSumExp, eliminateDeadCode]);
  return { graph, siteInputs, kept: [] };
}

/** Forward pass over the frozen base, in the form in which its weights are compiled. */
export function buildTrainingDecoder(
  { config, basePrecision, sharesTokens }: Pick<TrainingGraphOptions, 'config' | 'basePrecision' | 'sharesTokens'>,
  trainsHead = false,
): TrainingDecoder {
  return compileTraining(config, { basePrecision, maxContext: config.maxContext, headRows: trainsHead ? null : HEAD_ROWS, sharesTokens });
}

/** Gradients by the given values become outputs, the loss another one. Answers what would be kept if no layer were computed again. */
export function addGradients(
  { graph, loss, inverses }: TrainingDecoder,
  by: readonly Value[],
  stop: ReadonlySet<Value>,
  recomputedLayers: number,
): readonly KeptValue[] {
  const forward = new Set(graph.nodes);
  const { gradients, passed } = differentiate(graph, { of: loss, by, stop, inverses });
  for (const [value, gradient] of gradients) graph.addOutput(gradient, gradientOutput(value));
  graph.addOutput(loss, LOSS_OUTPUT);
  runPasses(graph, [eliminateDeadCode]);
  const present = new Set(graph.nodes.filter((node) => forward.has(node)));
  const repeat = (wanted: (node: Node) => boolean): void => void recompute(graph, new Set([...present].filter(wanted)), present);
  repeat(({ name, op }) => isCheap(op) && !(layerOf(name) < recomputedLayers));
  const kept = keptValues(graph, present);
  repeat(({ name }) => layerOf(name) < recomputedLayers);
  runPasses(graph, [expandLogSumExp]);
  scheduleBackward(graph, present, passed);
  runPasses(graph, []);
  return kept;
}

/** Dequantised weights are as large as float32 ones, and silu(gate) is as wide as the MLP and made in 0.2 ms: they are never kept for the backward pass. */
function isCheap(op: string): boolean {
  return op === 'GatherBlockQuantized' || op === 'QuickGelu';
}

/** Index of the decoder layer that a node of the forward pass belongs to; infinite for what lies outside. */
export function layerOf(name: string): number {
  const found = /^layers\.(\d+)\//.exec(name);
  return found ? Number(found[1]) : Number.POSITIVE_INFINITY;
}
