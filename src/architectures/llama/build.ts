// The llama decoder as a graph, written once and plainly: one node an operation of the paper. Passes make it fast.
import {
  checkpoint,
  constant,
  type Emitter,
  emitterAtEnd,
  float,
  Graph,
  int,
  transpose,
  type Value,
  type WeightRecipe,
} from '../../graph/index.ts';
import { changedTensor } from './checkpoint.ts';
import { type LlamaConfig, refuseModel } from './config.ts';
import {
  EMBEDDING_MODULE,
  FINAL_NORM_MODULE,
  HEAD_MODULE,
  type LayerLinear,
  LAYER_NORMS,
  layerLinears,
  layerModule,
  type LinearName,
} from './linears.ts';
import { ropeTables } from './rope.ts';
import { EMBEDDING_SITE, HEAD_SITE, linearSiteId } from './sites.ts';

export interface BuildOptions {
  /** Positions of the rope tables; at most the config's. */
  readonly maxContext: number;
  /**
   * Tensors of the checkpoint that an adapter changed, and biases or an own head that only it has. The graph reads them under another name
   * (`changedTensor`), so nothing made from them is taken for the base's.
   */
  readonly changed?: ReadonlySet<string>;
}

/** Where weights come from: the checkpoint, under the name that says whose they are. */
interface Weights {
  readonly changed: ReadonlySet<string>;
  read(tensor: string, shape: readonly number[]): WeightRecipe;
}

/** What every layer reads. */
interface Shared {
  readonly config: LlamaConfig;
  readonly weights: Weights;
  readonly seqlens: Value;
  readonly totalLength: Value;
  readonly cos: Value;
  readonly sin: Value;
  readonly window: number | null;
}

/**
 * Decoder with its cache as inputs and outputs, for `rows` sequences of `tokens` new tokens each:
 * `input_ids` int64 [rows, tokens]; `seqlens_k` int32 [rows], total length of each row minus 1; `total_sequence_length` int32 [1], the
 * largest total length; `logits_positions` int64 [rows, positions, 1], which of the new tokens need logits; `past.N.key`, `past.N.value`
 * float32 [rows, kvHeads, capacity, headSize], bound to the same buffers as `present.N.key`, `present.N.value`.
 * Output `logits` float32 [rows, positions, vocabulary].
 */
export function buildLlama(config: LlamaConfig, { maxContext, changed = new Set() }: BuildOptions): Graph {
  if (!Number.isInteger(maxContext) || maxContext < 1 || maxContext > config.maxContext)
    refuseModel(`a context of ${maxContext} was asked for, expected 1 to ${config.maxContext}`);
  const graph = new Graph('llama');
  const inputIds = graph.addInput('input_ids', 'int64', ['rows', 'tokens']);
  const seqlens = graph.addInput('seqlens_k', 'int32', ['rows']);
  const totalLength = graph.addInput('total_sequence_length', 'int32', [1]);
  const logitsPositions = graph.addInput('logits_positions', 'int64', ['rows', 'positions', 1]);
  const tables = ropeTables(config, maxContext);
  const tableShape = [maxContext, config.headSize / 2];
  const weights = weightsOf(changed);
  const shared: Shared = {
    config,
    weights,
    seqlens,
    totalLength,
    cos: graph.initializer(constant(tables.cos, tableShape)),
    sin: graph.initializer(constant(tables.sin, tableShape)),
    window: config.slidingWindow !== null && config.slidingWindow < maxContext ? config.slidingWindow : null,
  };
  const emitter = emitterAtEnd(graph);
  let hidden = embedding(emitter.scope('embed'), shared, inputIds); // [rows, tokens, hidden]
  for (let layer = 0; layer < config.layerCount; layer++) hidden = decoderLayer(emitter.scope(`layers.${layer}`), shared, layer, hidden);
  const normed = norm(emitter.scope('final_norm'), shared, FINAL_NORM_MODULE, hidden);
  graph.addOutput(head(emitter.scope('head'), shared, normed, logitsPositions), 'logits');
  return graph;
}

function weightsOf(changed: ReadonlySet<string>): Weights {
  return { changed, read: (tensor, shape) => checkpoint(changed.has(tensor) ? changedTensor(tensor) : tensor, shape) };
}

function embedding(emitter: Emitter, { config: { vocabularySize, hiddenSize }, weights }: Shared, inputIds: Value): Value {
  const table = emitter.graph.initializer(weights.read(`${EMBEDDING_MODULE}.weight`, [vocabularySize, hiddenSize]));
  const parts = [{ site: EMBEDDING_SITE, outFeatures: hiddenSize }];
  return emitter.emit('Gather', [table, inputIds], { axis: int(0) }, { site: { kind: 'embedding', group: EMBEDDING_SITE, parts } });
}

/** Logits of the asked positions only: [rows, tokens, hidden] → [rows, positions, vocabulary]. */
function head(emitter: Emitter, { config, weights }: Shared, hidden: Value, positions: Value): Value {
  const { vocabularySize, hiddenSize } = config;
  const chosen = emitter.emit('GatherND', [hidden, positions], { batch_dims: int(1) });
  const parts = [{ site: HEAD_SITE, outFeatures: vocabularySize }];
  const product = emitter.emit(
    'MatMul',
    [chosen, emitter.graph.initializer(transpose(headWeight(config, weights, [vocabularySize, hiddenSize])))],
    {},
    { site: { kind: 'head', group: HEAD_SITE, parts } },
  );
  return weights.changed.has(`${HEAD_MODULE}.bias`) ? addBias(emitter, weights, HEAD_MODULE, product, vocabularySize) : product;
}

/** A tied head whose embedding alone was changed still reads the base's embedding. */
function headWeight({ tiedHead }: LlamaConfig, weights: Weights, shape: readonly number[]): WeightRecipe {
  const own = `${HEAD_MODULE}.weight`;
  return tiedHead && !weights.changed.has(own) ? checkpoint(`${EMBEDDING_MODULE}.weight`, shape) : weights.read(own, shape);
}

function addBias(emitter: Emitter, weights: Weights, module: string, product: Value, outFeatures: number): Value {
  return emitter.emit('Add', [product, emitter.graph.initializer(weights.read(`${module}.bias`, [outFeatures]))]);
}

function decoderLayer(emitter: Emitter, shared: Shared, layer: number, hidden: Value): Value {
  const [attentionNorm, mlpNorm] = LAYER_NORMS;
  const attended = attention(
    emitter.scope('attention'),
    shared,
    layer,
    norm(emitter.scope('attention_norm'), shared, layerModule(layer, attentionNorm.module), hidden),
  );
  const middle = emitter.emit('Add', [hidden, attended], {}, { name: 'attention_residual' });
  const transformed = mlp(
    emitter.scope('mlp'),
    shared,
    layer,
    norm(emitter.scope('mlp_norm'), shared, layerModule(layer, mlpNorm.module), middle),
  );
  return emitter.emit('Add', [middle, transformed], {}, { name: 'mlp_residual' });
}

function norm(emitter: Emitter, { config: { hiddenSize, rmsEpsilon }, weights }: Shared, module: string, x: Value): Value {
  const scale = emitter.graph.initializer(weights.read(`${module}.weight`, [hiddenSize]));
  return emitter.emit('SimplifiedLayerNormalization', [x, scale], { epsilon: float(rmsEpsilon), axis: int(-1) });
}

function attention(emitter: Emitter, shared: Shared, layer: number, x: Value): Value {
  const { config, seqlens, totalLength, cos, sin, window } = shared;
  const { graph } = emitter;
  const { headCount, kvHeadCount, headSize } = config;
  const [query, key, value] = (['q', 'k', 'v'] as const).map((name) => linear(emitter, shared, layer, name, x));
  const past = (name: string): Value => graph.addInput(`past.${layer}.${name}`, 'float32', ['rows', kvHeadCount, 'capacity', headSize]);
  const [output, presentKey, presentValue] = emitter.emitAll(
    'GroupQueryAttention',
    [query ?? null, key ?? null, value ?? null, past('key'), past('value'), seqlens, totalLength, cos, sin],
    {
      num_heads: int(headCount),
      kv_num_heads: int(kvHeadCount),
      do_rotary: int(1),
      rotary_interleaved: int(0),
      ...(window !== null && { local_window_size: int(window) }),
    },
    { wanted: [true, true, true] },
  );
  if (!output || !presentKey || !presentValue) throw new Error('attention lost an output');
  graph.addOutput(presentKey, `present.${layer}.key`);
  graph.addOutput(presentValue, `present.${layer}.value`);
  return linear(emitter, shared, layer, 'o', output);
}

/** down(silu(gate(x)) * up(x)), SwiGLU (Shazeer 2020). */
function mlp(emitter: Emitter, shared: Shared, layer: number, x: Value): Value {
  const gate = linear(emitter, shared, layer, 'gate', x);
  const up = linear(emitter, shared, layer, 'up', x);
  const silu = emitter.emit('Mul', [gate, emitter.emit('Sigmoid', [gate])], {}, { name: 'silu' });
  return linear(emitter, shared, layer, 'down', emitter.emit('Mul', [silu, up], {}, { name: 'gated' }));
}

/** x W^T + bias, marked as the site of adapters. */
function linear(emitter: Emitter, { config, weights }: Shared, layer: number, name: LinearName, x: Value): Value {
  const { module, group, inFeatures, outFeatures, hasBias } = linearNamed(config, name);
  const path = layerModule(layer, module);
  const scoped = emitter.scope(name);
  const weight = emitter.graph.initializer(transpose(weights.read(`${path}.weight`, [outFeatures, inFeatures])));
  const parts = [{ site: linearSiteId(layer, name), outFeatures }];
  const product = scoped.emit('MatMul', [x, weight], {}, { site: { kind: 'linear', group: linearSiteId(layer, group), parts } });
  return hasBias || weights.changed.has(`${path}.bias`) ? addBias(scoped, weights, path, product, outFeatures) : product;
}

function linearNamed(config: LlamaConfig, name: LinearName): LayerLinear {
  const found = layerLinears(config).find((candidate) => candidate.name === name);
  if (!found) throw new Error(`llama has no linear ${name}`);
  return found;
}
