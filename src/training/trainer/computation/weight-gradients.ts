// Gradients of the frozen weights themselves, for LoRA-GA: as many sites a run as fit into a fixed amount of memory.
import type { LlamaConfig } from '../../../architectures/index.ts';
import type { Graph, Node, Value } from '../../../graph/index.ts';
import { type CompiledModel, ensureCompiled, openModelPackage } from '../../../models/index.ts';
import { type Binding, createTensor, type Tensor } from '../../../runtime/index.ts';
import type { ComputationOptions, LossSum, TrainingExample, WeightGradients } from '../ports.ts';
import { type BaseSessions, openBaseSessions } from './base-session.ts';
import { type Batch, batchInputs, makeBatch } from './batch.ts';
import { addGradients, buildTrainingDecoder, gradientOutput, LOSS_OUTPUT } from './training-graph.ts';

export type WeightGradientOptions = Pick<ComputationOptions, 'modelFolder' | 'basePrecision' | 'threadCount' | 'libraryPath'>;

/** Tokens of one run; at least one example a run. */
const RUN_TOKENS = 1024;

/** Bytes of gradients that one run makes; at least one projection a run. */
const RUN_BYTES = 128 * 1024 ** 2;

/** @throws AppError `usage` when the model is not imported. */
export async function createWeightGradients(options: WeightGradientOptions): Promise<WeightGradients> {
  const model = await openModelPackage(options.modelFolder);
  try {
    const compiled = await ensureCompiled(model, options.basePrecision);
    return weightGradients(model.config, compiled, options);
  } finally {
    await model.close();
  }
}

interface Projection {
  readonly node: Node;
  /** Sites that are asked for, with their place among the projection's columns. */
  readonly sites: readonly { readonly site: string; readonly start: number; readonly count: number }[];
}

function weightGradients(
  config: LlamaConfig,
  compiled: CompiledModel,
  options: Omit<WeightGradientOptions, 'modelFolder'>,
): WeightGradients {
  const { basePrecision } = options;
  return {
    forEachSite(examples, sites, take) {
      const batches = batchesOf(examples, config);
      if (batches.length === 0) throw new Error('the examples have no supervised token: there is no gradient');
      let result: LossSum = { loss: 0, supervisedTokens: 0 };
      const { graph } = buildTrainingDecoder({ config, basePrecision, sharesTokens: false });
      for (const names of runsOf(projectionsOf(graph, sites))) {
        // A process has one native environment; sessions of one chunk are let go before those of the next are made.
        const base = openBaseSessions(compiled, options);
        try {
          result = runChunk(base, { config, basePrecision, sites: names, batches, take });
        } finally {
          base.close();
        }
      }
      return result;
    },
    close: () => undefined,
  };
}

/** Micro-batches with something to predict. */
function batchesOf(examples: readonly TrainingExample[], config: LlamaConfig): readonly Batch[] {
  const groups: TrainingExample[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const example of examples) {
    if (tokens + example.tokenIds.length > RUN_TOKENS) {
      groups.push([]);
      tokens = 0;
    }
    tokens += example.tokenIds.length;
    groups.at(-1)?.push(example);
  }
  return groups.map((group) => makeBatch(group, config)).filter(({ supervisedCount }) => supervisedCount > 0);
}

/** @throws Error when a site is not a linear or the head. */
function projectionsOf(graph: Graph, sites: readonly string[]): readonly Projection[] {
  const wanted = new Set(sites);
  const found = graph.nodes.flatMap((node): readonly Projection[] => {
    let start = 0;
    const parts = (node.site?.parts ?? []).map(({ site, outFeatures }) => {
      start += outFeatures;
      return { site, start: start - outFeatures, count: outFeatures };
    });
    const asked = node.site?.kind === 'linear' ? parts.filter(({ site }) => wanted.has(site)) : [];
    return asked.length > 0 ? [{ node, sites: asked }] : [];
  });
  const known = new Set(found.flatMap((projection) => projection.sites.map(({ site }) => site)));
  const missing = sites.find((site) => !known.has(site));
  if (missing !== undefined) throw new Error(`gradients of the weight of ${missing} are not computed, only those of layers' linears`);
  return found;
}

/** Site names of each run. */
function runsOf(projections: readonly Projection[]): readonly (readonly string[])[] {
  const runs: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { node, sites } of projections) {
    const size = 4 * fixed(weightOf(node).shape).reduce((product, dim) => product * dim, 1);
    if (bytes + size > RUN_BYTES) {
      runs.push([]);
      bytes = 0;
    }
    bytes += size;
    runs.at(-1)?.push(...sites.map(({ site }) => site));
  }
  return runs;
}

interface Chunk {
  readonly config: LlamaConfig;
  readonly basePrecision: ComputationOptions['basePrecision'];
  readonly sites: readonly string[];
  readonly batches: readonly Batch[];
  readonly take: (site: string, gradient: Float32Array) => void;
}

function runChunk(base: BaseSessions, { config, basePrecision, sites, batches, take }: Chunk): LossSum {
  const decoder = buildTrainingDecoder({ config, basePrecision, sharesTokens: false });
  const projections = projectionsOf(decoder.graph, sites);
  const weights = projections.map(({ node }) => weightOf(node));
  addGradients(decoder, weights, new Set(), 0);
  const binding = base.open(decoder.graph);
  const outputs = weights.map((weight) => {
    const shape = fixed(weight.shape);
    const values = floats(shape.reduce((product, dim) => product * dim, 1));
    const tensor = createTensor(base.environment, 'float32', shape, values);
    binding.output(gradientOutput(weight), tensor);
    return { tensor, values, sum: batches.length > 1 ? new Float32Array(values.length) : values };
  });
  let result: LossSum = { loss: 0, supervisedTokens: 0 };
  try {
    for (const batch of batches) {
      result = { loss: result.loss + runBatch(base, binding, batch), supervisedTokens: result.supervisedTokens + batch.supervisedCount };
      for (const { values, sum } of outputs) if (sum !== values) add(sum, values);
    }
  } finally {
    binding.dispose();
    for (const { tensor } of outputs) tensor.dispose();
  }
  const scale = 1 / result.supervisedTokens;
  for (const [index, { node, sites: parts }] of projections.entries()) {
    const [found, weight] = [outputs[index], weights[index]];
    if (!found || !weight) continue;
    for (const { site, start, count } of parts)
      take(site, rowsOfGradient(found.sum, { node, shape: fixed(weight.shape), start, count, scale }));
  }
  return result;
}

function add(sum: Float32Array, values: Float32Array): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) + (values[index] ?? 0);
}

/** The sum of losses. */
function runBatch({ environment }: BaseSessions, binding: Binding, batch: Batch): number {
  const tensors: Tensor[] = [];
  try {
    for (const [name, type, shape, data] of batchInputs(batch)) {
      const tensor = createTensor(environment, type, shape, data);
      tensors.push(tensor);
      binding.input(name, tensor);
    }
    const losses = floats(batch.supervisedCount);
    const tensor = createTensor(environment, 'float32', [batch.supervisedCount, 1], losses);
    tensors.push(tensor);
    binding.output(LOSS_OUTPUT, tensor);
    binding.run();
    return losses.reduce((sum, loss) => sum + loss, 0);
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}

interface Rows {
  readonly node: Node;
  /** Of the weight as the product reads it. */
  readonly shape: readonly number[];
  readonly start: number;
  readonly count: number;
  readonly scale: number;
}

/** [count, in]: rows of a gradient [out, in] where the weight is read exchanged (FusedMatMul), columns of one [in, out] otherwise. */
function rowsOfGradient(gradient: Float32Array, { node, shape: [height = 0, width = 0], start, count, scale }: Rows): Float32Array {
  if (node.op === 'FusedMatMul') return gradient.slice(start * width, (start + count) * width).map((value) => value * scale);
  const rows = new Float32Array(count * height);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < count; column++) rows[column * height + row] = (gradient[row * width + start + column] ?? 0) * scale;
  return rows;
}

function weightOf(node: Node): Value {
  const weight = node.inputs[1];
  if (!weight) throw new Error(`${node.name} has no weight`);
  return weight;
}

function fixed(shape: Value['shape']): readonly number[] {
  return shape.map(Number);
}

function floats(count: number): Float32Array {
  return new Float32Array(new ArrayBuffer(Math.max(64, count * 4)), 0, count);
}
