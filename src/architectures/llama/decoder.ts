// The llama decoder as a graph, written once and plainly: one node an operation of the paper. Serving and training differ in how attention is
// computed and in which tokens reach the head; they hand that in.
import { type Emitter, float, int, transpose, type Value } from '../../graph/index.ts';
import type { LlamaConfig } from './config.ts';
import { addBias, type DecoderWeights } from './decoder-weights.ts';
import {
  EMBEDDING_MODULE,
  FINAL_NORM_MODULE,
  type LayerLinear,
  LAYER_NORMS,
  layerLinears,
  layerModule,
  type LinearName,
} from './linears.ts';
import { EMBEDDING_SITE, linearSiteId } from './sites.ts';

export interface AttentionInputs {
  readonly layer: number;
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
}

export interface DecoderParts {
  /** What lies between the projections of q, k, v and that of the output. */
  readonly attend: (emitter: Emitter, inputs: AttentionInputs) => Value;
  /** Tokens that are needed behind the attention of the last layer: of [.., tokens, n] those; absent: all. */
  readonly choose?: (emitter: Emitter, tokens: Value) => Value;
  /** Norms also give 1 / rms(x), which their gradient reads. */
  readonly keepsStatistics: boolean;
  readonly weights: DecoderWeights;
}

/** Token ids int64 of any shape → normed hidden states of all or of the chosen tokens, [..., hidden]. */
export function buildDecoder(emitter: Emitter, config: LlamaConfig, inputIds: Value, parts: DecoderParts): Value {
  let hidden = embedding(emitter.scope('embed'), config, parts.weights, inputIds);
  for (let layer = 0; layer < config.layerCount; layer++)
    hidden = decoderLayer(emitter.scope(`layers.${layer}`), config, parts, layer, hidden);
  return norm(emitter.scope('final_norm'), config, parts, FINAL_NORM_MODULE, hidden);
}

function embedding(emitter: Emitter, config: LlamaConfig, weights: DecoderWeights, inputIds: Value): Value {
  const parts = [{ site: EMBEDDING_SITE, outFeatures: config.hiddenSize }];
  const site = { kind: 'embedding', group: EMBEDDING_SITE, parts } as const;
  return emitter.emit('Gather', [embeddingTable(emitter, config, weights), inputIds], { axis: int(0) }, { site });
}

/** [vocabulary, hidden] */
export function embeddingTable({ graph }: Emitter, { vocabularySize, hiddenSize }: LlamaConfig, weights: DecoderWeights): Value {
  return graph.initializer(weights.read(`${EMBEDDING_MODULE}.weight`, [vocabularySize, hiddenSize]));
}

function decoderLayer(emitter: Emitter, config: LlamaConfig, parts: DecoderParts, layer: number, hidden: Value): Value {
  const [attentionNorm, mlpNorm] = LAYER_NORMS;
  const normed = norm(emitter.scope('attention_norm'), config, parts, layerModule(layer, attentionNorm.module), hidden);
  const scoped = emitter.scope('attention');
  const attended = attention(scoped, config, parts, layer, normed);
  // Keys and values are those of all tokens; what follows in the last layer is for the tokens alone that are asked for.
  const isLast = layer === config.layerCount - 1;
  const needed = (inScope: Emitter, tokens: Value): Value => (isLast && parts.choose ? parts.choose(inScope, tokens) : tokens);
  const answered = linear(scoped, config, parts.weights, { layer, name: 'o' }, needed(scoped, attended));
  const middle = emitter.emit('Add', [needed(emitter.scope('residual'), hidden), answered], {}, { name: 'attention_residual' });
  const transformed = mlp(
    emitter.scope('mlp'),
    config,
    parts.weights,
    layer,
    norm(emitter.scope('mlp_norm'), config, parts, layerModule(layer, mlpNorm.module), middle),
  );
  return emitter.emit('Add', [middle, transformed], {}, { name: 'mlp_residual' });
}

function norm(emitter: Emitter, config: LlamaConfig, { keepsStatistics, weights }: DecoderParts, module: string, x: Value): Value {
  const scale = emitter.graph.initializer(weights.read(`${module}.weight`, [config.hiddenSize]));
  const [normed] = emitter.emitAll(
    'SimplifiedLayerNormalization',
    [x, scale],
    { epsilon: float(config.rmsEpsilon), axis: int(-1) },
    { wanted: keepsStatistics ? [true, true] : [true] },
  );
  if (!normed) throw new Error(`the norm ${module} lost its output`);
  return normed;
}

/** Heads side by side, before the projection of the output. */
function attention(emitter: Emitter, config: LlamaConfig, { attend, weights }: DecoderParts, layer: number, x: Value): Value {
  const [query, key, value] = (['q', 'k', 'v'] as const).map((name) => linear(emitter, config, weights, { layer, name }, x));
  if (!query || !key || !value) throw new Error('attention lost an input');
  return attend(emitter, { layer, query, key, value });
}

/** down(silu(gate(x)) * up(x)), SwiGLU (Shazeer 2020). */
function mlp(emitter: Emitter, config: LlamaConfig, weights: DecoderWeights, layer: number, x: Value): Value {
  const gate = linear(emitter, config, weights, { layer, name: 'gate' }, x);
  const up = linear(emitter, config, weights, { layer, name: 'up' }, x);
  const silu = emitter.emit('Mul', [gate, emitter.emit('Sigmoid', [gate])], {}, { name: 'silu' });
  return linear(emitter, config, weights, { layer, name: 'down' }, emitter.emit('Mul', [silu, up], {}, { name: 'gated' }));
}

interface LinearPlace {
  readonly layer: number;
  readonly name: LinearName;
}

/** x W^T + bias, marked as the site of adapters. */
function linear(emitter: Emitter, config: LlamaConfig, weights: DecoderWeights, { layer, name }: LinearPlace, x: Value): Value {
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
