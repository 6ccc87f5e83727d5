// The decoder for training: flat tokens without padding through everything but attention, whose rows are gathered and given back by indices;
// operators that have gradients; a loss over the supervised tokens alone.
import {
  checkpoint,
  constant,
  type Emitter,
  emitterAtEnd,
  float,
  Graph,
  int,
  ints,
  type Inverse,
  type Inverses,
  someRows,
  transpose,
  type Value,
} from '../../graph/index.ts';
import { checkContext, ropeConstants } from './build.ts';
import type { LlamaConfig } from './config.ts';
import { type AttentionInputs, buildDecoder, embeddingTable } from './decoder.ts';
import { decoderWeights } from './decoder-weights.ts';
import { EMBEDDING_MODULE, HEAD_MODULE } from './linears.ts';
import { HEAD_SITE } from './sites.ts';

export interface TrainingOptions {
  /** Positions of the rope tables, and so the longest row; at most the config's. */
  readonly maxContext: number;
  /**
   * Logits are made for this many tokens of the vocabulary at a time where a tied head is stored by rows: less memory, and shorter rows for the
   * product of their gradient. null: all at once, as a trained head needs it.
   */
  readonly headRows: number | null;
  /** Whether tokens may have places in several rows: their gradients are then sums. */
  readonly sharesTokens: boolean;
}

/** The head at the targets: what the loss reads besides all logits. */
export interface HeadTargets {
  /** Normed hidden states of the supervised tokens, [supervised, hidden]. */
  readonly hidden: Value;
  /** int64 [supervised]: the token that each of them should predict. */
  readonly ids: Value;
  /** Logit of the target, [supervised, 1]: the sum of the products of its hidden state with its row of the head. */
  readonly logits: Value;
}

export interface TrainingDecoder {
  readonly graph: Graph;
  /** Cross entropy of each supervised token in nats, [supervised, 1]. */
  readonly loss: Value;
  readonly targets: HeadTargets;
  readonly inverses: Inverses;
}

interface Shared {
  readonly config: LlamaConfig;
  readonly cos: Value;
  readonly sin: Value;
  readonly startPosition: Value;
  readonly mask: Value;
  readonly queries: Places;
  readonly keys: Places;
}

/** Where vectors of one head lie: by row and position, or flat by token. */
interface Places {
  /** int64 [rows, heads, length] into [tokens * heads]. Padding may name any vector. */
  readonly unpack: Value;
  /** int64 [tokens * heads] into [rows * heads * length]. */
  readonly pack: Value;
  readonly packed: string;
}

/**
 * Decoder over T tokens of R rows, the longest of L tokens, S of them supervised:
 * `input_ids` int64 [T]; `unpack.queries`, `unpack.keys`, `pack.queries`, `pack.keys` (see Places); `mask` float32 [R, 1, L, L], 0 where a position sees
 * another and a large negative number elsewhere, with padding seeing padding alone, so that none of its values and gradients reaches a token;
 * `supervised` int64 [S], tokens whose prediction counts; `supervised.inverse` int64 [T], their place in it or S; `targets` int64 [S].
 * Where tokens are shared, C keys and values have a further place: `own.queries` int64 [R, heads, L], as unpack.queries, but T * heads at such places; `copied.keys`
 * int64 [C], those places as in pack.keys; `copied.keys.rows` int64 [C, headSize], whose they are.
 */
export function buildLlamaTraining(config: LlamaConfig, { maxContext, headRows, sharesTokens }: TrainingOptions): TrainingDecoder {
  checkContext(config, maxContext);
  const graph = new Graph('llama-training');
  const inputIds = graph.addInput('input_ids', 'int64', ['tokens']);
  const inverses = new Map<Value, Inverse>();
  const shared: Shared = {
    config,
    ...ropeConstants(graph, config, maxContext),
    startPosition: graph.initializer(constant(BigInt64Array.of(0n))),
    mask: graph.addInput('mask', 'float32', ['rows', 1, 'length', 'length']),
    queries: addPlaces(graph, 'queries', config.headCount),
    keys: addPlaces(graph, 'keys', config.kvHeadCount),
  };
  addInverses(graph, inverses, shared, sharesTokens);
  const emitter = emitterAtEnd(graph);
  const normed = buildDecoder(emitter, config, inputIds, {
    attend: (scoped, inputs) => plainAttention(scoped, shared, inputs),
    keepsStatistics: true,
    weights: decoderWeights(),
  });
  const supervised = graph.addInput('supervised', 'int64', ['supervised']);
  inverses.set(supervised, { indices: graph.addInput('supervised.inverse', 'int64', ['tokens']), missing: 'zero' });
  const scoped = emitter.scope('head');
  const hidden = scoped.emit('Gather', [normed, supervised], { axis: int(0) }, { name: 'supervised' });
  return { graph, ...lossOf(scoped, config, hidden, headRows), inverses };
}

function addPlaces(graph: Graph, name: string, heads: number): Places {
  const packed = `tokens*${heads}`;
  const unpack = graph.addInput(`unpack.${name}`, 'int64', ['rows', heads, 'length']);
  const pack = graph.addInput(`pack.${name}`, 'int64', [packed]);
  return { unpack, pack, packed };
}

/** Of a shared token's places only the first has a query, all of them have keys and values. */
function addInverses(graph: Graph, inverses: Map<Value, Inverse>, { config, queries, keys }: Shared, sharesTokens: boolean): void {
  inverses.set(queries.unpack, { indices: queries.pack, missing: 'none' });
  if (!sharesTokens) {
    inverses.set(queries.pack, { indices: queries.unpack, missing: 'none' });
    inverses.set(keys.unpack, { indices: keys.pack, missing: 'none' });
    return;
  }
  const own = graph.addInput('own.queries', 'int64', ['rows', config.headCount, 'length']);
  const places = graph.addInput('copied.keys', 'int64', ['copies']);
  const rows = graph.addInput('copied.keys.rows', 'int64', ['copies', config.headSize]);
  inverses.set(queries.pack, { indices: own, missing: 'zero' });
  inverses.set(keys.unpack, { indices: keys.pack, missing: 'none', copies: { places, rows } });
}

/**
 * softmax(q k^T / sqrt(d) + mask) v. Query heads of one kv head are stacked as more queries, so keys and values are never repeated and their
 * gradients are sums over the group by themselves.
 */
function plainAttention(emitter: Emitter, shared: Shared, { query, key, value }: AttentionInputs): Value {
  const { config, mask, queries, keys } = shared;
  const { headCount, kvHeadCount, headSize } = config;
  const stacked = 'queries*length';
  const reshape = (name: string, x: Value, target: readonly number[], shape: Value['shape']): Value =>
    emitter.emit('Reshape', [x, integers(emitter.graph, target)], {}, { name, shapes: [shape] });
  const rotatedQuery = rotated(emitter.scope('q'), shared, byHead(emitter.scope('q'), shared, query, queries));
  const rotatedKey = rotated(emitter.scope('k'), shared, byHead(emitter.scope('k'), shared, key, keys));
  const grouped = reshape('group', rotatedQuery, [0, kvHeadCount, -1, headSize], ['rows', kvHeadCount, stacked, headSize]);
  const scores = emitter.emit(
    'FusedMatMul',
    [grouped, rotatedKey],
    { transB: int(1), alpha: float(1 / Math.sqrt(headSize)) },
    { name: 'scores' },
  ); // [rows, kvHeads, group * length, length]
  const apart = reshape('ungroup', scores, [0, headCount, -1, 0], ['rows', headCount, 'length', 'length']);
  const weights = emitter.emit('Softmax', [emitter.emit('Add', [apart, mask], {}, { name: 'masked' })], { axis: int(-1) });
  const together = reshape('regroup', weights, [0, kvHeadCount, -1, 0], ['rows', kvHeadCount, stacked, 'length']);
  const mixed = emitter.emit('FusedMatMul', [together, byHead(emitter.scope('v'), shared, value, keys)], {}, { name: 'mixed' });
  const heads = reshape('heads', mixed, [0, headCount, -1, headSize], ['rows', headCount, 'length', headSize]);
  const vectors = reshape('vectors', heads, [-1, headSize], [`rows*${headCount}*length`, headSize]);
  const flat = emitter.emit('Gather', [vectors, queries.pack], { axis: int(0) }, { name: 'pack' });
  return reshape('flat', flat, [-1, headCount * headSize], ['tokens', headCount * headSize]);
}

/** [tokens, heads * headSize] → [rows, heads, length, headSize] */
function byHead(emitter: Emitter, { config: { headSize } }: Shared, x: Value, { unpack, packed }: Places): Value {
  const vectors = emitter.emit(
    'Reshape',
    [x, integers(emitter.graph, [-1, headSize])],
    {},
    { name: 'vectors', shapes: [[packed, headSize]] },
  );
  return emitter.emit('Gather', [vectors, unpack], { axis: int(0) }, { name: 'unpack' });
}

function rotated(emitter: Emitter, { cos, sin, startPosition }: Shared, x: Value): Value {
  return emitter.emit('RotaryEmbedding', [x, startPosition, cos, sin], { interleaved: int(0) });
}

/** Cross entropy as log(sum(exp(logits))) - target's logit: the second term needs no logits, so its gradient is no second matrix [S, vocabulary]. */
function lossOf(
  emitter: Emitter,
  config: LlamaConfig,
  hidden: Value,
  headRows: number | null,
): Omit<TrainingDecoder, 'graph' | 'inverses'> {
  const { graph } = emitter;
  const ids = graph.addInput('targets', 'int64', ['supervised']);
  const { logits, rows } = headOf(emitter, config, hidden, ids, headRows);
  const normalisers = logits.map((part) => logSumExp(emitter, part));
  const [first] = normalisers;
  if (!first) throw new Error('the head has no logits');
  const normaliser =
    normalisers.length === 1 ? first : logSumExp(emitter, emitter.emit('Concat', normalisers, { axis: int(1) }, { name: 'normalisers' }));
  const products = emitter.emit('Mul', [hidden, rows], {}, { name: 'target_products' });
  const targetLogits = emitter.emit('ReduceSum', [products, integers(graph, [-1])], { keepdims: int(1) }, { name: 'target_logits' });
  const loss = emitter.emit('Sub', [normaliser, targetLogits], {}, { name: 'loss' });
  return { loss, targets: { hidden, ids, logits: targetLogits } };
}

function logSumExp(emitter: Emitter, x: Value): Value {
  return emitter.emit('ReduceLogSumExp', [x], { axes: ints([-1]), keepdims: int(1) }, { name: 'normaliser' });
}

/** All logits in parts, and the head's rows of the targets [S, hidden]. A tied head reads the embedding as it is stored. */
function headOf(
  emitter: Emitter,
  config: LlamaConfig,
  hidden: Value,
  ids: Value,
  headRows: number | null,
): { readonly logits: readonly Value[]; readonly rows: Value } {
  const { graph } = emitter;
  const { vocabularySize, hiddenSize } = config;
  const site = { kind: 'head', group: HEAD_SITE, parts: [{ site: HEAD_SITE, outFeatures: vocabularySize }] } as const;
  if (config.tiedHead) {
    const table = embeddingTable(emitter, config, decoderWeights());
    const rows = emitter.emit('Gather', [table, ids], { axis: int(0) }, { name: 'target_rows' });
    if (headRows === null || headRows >= vocabularySize)
      return { logits: [emitter.emit('FusedMatMul', [hidden, table], { transB: int(1) }, { name: 'logits', site })], rows };
    const weight = checkpoint(`${EMBEDDING_MODULE}.weight`, [vocabularySize, hiddenSize]);
    const logits = Array.from({ length: Math.ceil(vocabularySize / headRows) }, (_, part) => {
      const start = part * headRows;
      const some = graph.initializer(someRows(weight, start, Math.min(headRows, vocabularySize - start)));
      return emitter.emit('FusedMatMul', [hidden, some], { transB: int(1) }, { name: 'logits' });
    });
    return { logits, rows };
  }
  const weight = graph.initializer(transpose(checkpoint(`${HEAD_MODULE}.weight`, [vocabularySize, hiddenSize])));
  const logits = emitter.emit('MatMul', [hidden, weight], {}, { name: 'logits', site });
  const columns = emitter.emit('Gather', [weight, ids], { axis: int(1) }, { name: 'target_columns' });
  return { logits: [logits], rows: emitter.emit('Transpose', [columns], { perm: ints([1, 0]) }, { name: 'target_rows' }) };
}

function integers(graph: Graph, values: readonly number[]): Value {
  return graph.initializer(constant(BigInt64Array.from(values, BigInt)));
}
