// The decoder for serving: attention over a cache that is input and output, logits of the asked positions only.
import { addPartSizes, constant, type Dim, type Emitter, emitterAtEnd, Graph, int, transpose, type Value } from '../../graph/index.ts';
import { type LlamaConfig, refuseModel } from './config.ts';
import { type AttentionInputs, buildDecoder } from './decoder.ts';
import { addBias, type DecoderWeights, decoderWeights, headWeight } from './decoder-weights.ts';
import { HEAD_MODULE } from './linears.ts';
import { ropeTables } from './rope.ts';
import { HEAD_SITE } from './sites.ts';

export interface BuildOptions {
  /** Positions of the rope tables; at most the config's. */
  readonly maxContext: number;
  /** all: tokens whose logits nobody asks for go through the whole last layer as well, for calibration, which looks at them. */
  readonly lastLayer?: 'asked' | 'all';
  /** Tensors that an adapter changed, see `decoderWeights`. */
  readonly changed?: ReadonlySet<string>;
  /** `rows` when absent. */
  readonly call?: CallKind;
}

/**
 * What a graph is called with. rows: any number of rows, with as many new tokens each. token: one token of one row, whose logits are wanted. mixed: tokens
 * of several rows in one line; `partAttention` has still to follow.
 */
export type CallKind = 'rows' | 'token' | 'mixed';

/** What every layer reads. */
interface Shared {
  readonly config: LlamaConfig;
  readonly lines: Dim;
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
export function buildLlama(config: LlamaConfig, { maxContext, lastLayer = 'asked', changed, call = 'rows' }: BuildOptions): Graph {
  checkContext(config, maxContext);
  const graph = new Graph('llama');
  const lines = call === 'rows' ? 'rows' : 1;
  const inputIds = graph.addInput('input_ids', 'int64', [lines, call === 'token' ? 1 : 'tokens']);
  const seqlens = graph.addInput('seqlens_k', 'int32', [lines]);
  const totalLength = graph.addInput('total_sequence_length', 'int32', [1]);
  const logitsPositions = graph.addInput('logits_positions', 'int64', [lines, call === 'token' ? 1 : 'positions', 1]);
  if (call === 'mixed') for (const tokens of ['tokens', 'positions']) addPartSizes(graph, tokens);
  const shared: Shared = {
    config,
    lines,
    seqlens,
    totalLength,
    ...ropeConstants(graph, config, maxContext),
    window: config.slidingWindow !== null && config.slidingWindow < maxContext ? config.slidingWindow : null,
  };
  const weights = decoderWeights(changed);
  const emitter = emitterAtEnd(graph);
  const choose = (scoped: Emitter, tokens: Value): Value =>
    scoped.emit('GatherND', [tokens, logitsPositions], { batch_dims: int(1) }, { name: 'asked' });
  const normed = buildDecoder(emitter, config, inputIds, {
    attend: (scoped, inputs) => cachedAttention(scoped, shared, inputs),
    ...(lastLayer === 'asked' && { choose }),
    keepsStatistics: false,
    weights,
  });
  const scoped = emitter.scope('head');
  graph.addOutput(head(scoped, config, weights, lastLayer === 'asked' ? normed : choose(scoped, normed)), 'logits');
  return graph;
}

/** @throws AppError `usage` when the context is beyond the model's. */
export function checkContext(config: LlamaConfig, maxContext: number): void {
  if (!Number.isInteger(maxContext) || maxContext < 1 || maxContext > config.maxContext)
    refuseModel(`a context of ${maxContext} was asked for, expected 1 to ${config.maxContext}`);
}

/** Rope tables [maxContext, headSize / 2]. */
export function ropeConstants(graph: Graph, config: LlamaConfig, maxContext: number): { readonly cos: Value; readonly sin: Value } {
  const { cos, sin } = ropeTables(config, maxContext);
  const shape = [maxContext, config.headSize / 2];
  return { cos: graph.initializer(constant(cos, shape)), sin: graph.initializer(constant(sin, shape)) };
}

/** [rows, positions, hidden] → [rows, positions, vocabulary]. */
function head(emitter: Emitter, config: LlamaConfig, weights: DecoderWeights, hidden: Value): Value {
  const parts = [{ site: HEAD_SITE, outFeatures: config.vocabularySize }];
  const product = emitter.emit(
    'MatMul',
    [hidden, emitter.graph.initializer(transpose(headWeight(config, weights)))],
    {},
    { site: { kind: 'head', group: HEAD_SITE, parts } },
  );
  return weights.changed.has(`${HEAD_MODULE}.bias`) ? addBias(emitter, weights, HEAD_MODULE, product, config.vocabularySize) : product;
}

function cachedAttention(
  emitter: Emitter,
  { config, lines, seqlens, totalLength, cos, sin, window }: Shared,
  { layer, query, key, value }: AttentionInputs,
): Value {
  const { graph } = emitter;
  const { headCount, kvHeadCount, headSize } = config;
  const past = (name: string): Value => graph.addInput(`past.${layer}.${name}`, 'float32', [lines, kvHeadCount, 'capacity', headSize]);
  const [output, presentKey, presentValue] = emitter.emitAll(
    'GroupQueryAttention',
    [query, key, value, past('key'), past('value'), seqlens, totalLength, cos, sin],
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
  return output;
}
