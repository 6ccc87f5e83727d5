// Keys and values are cached as int8 with one static scale for each kv head and channel. Each cache input `past.N.key` gets a further
// input `past.N.key.scale` float32 [kvHeads * headSize]: the scales are of the base, so they are data and no part of the graph.
import { int, text } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { input, replaceNode } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

const PAST_KEY = 3;
const PAST_VALUE = 4;
/** Inputs up to the rotary tables; between them and the scales lie position ids, bias and sinks, which no decoder of ours has. */
const LEADING_INPUTS = 9;
const LEFT_OUT = [null, null, null];

export const quantiseKvCache: Pass = {
  name: 'quantise-kv-cache',
  run(graph) {
    let quantised = 0;
    for (const node of graph.nodes.filter(({ op }) => op === 'GroupQueryAttention')) {
      quantise(graph, node);
      quantised++;
    }
    return { modified: quantised > 0, counts: { quantised } };
  },
};

function quantise(graph: Graph, node: Node): void {
  const scales = [PAST_KEY, PAST_VALUE].map((index) => {
    const past = input(node, index);
    graph.retypeInput(past, 'int8');
    return graph.addInput(`${past.name}.scale`, 'float32', [channelCount(past)]);
  });
  const leading = Array.from({ length: LEADING_INPUTS }, (_, index) => node.inputs[index] ?? null);
  const attributes = {
    ...node.attributes,
    k_quant_type: text('PER_CHANNEL'),
    v_quant_type: text('PER_CHANNEL'),
    kv_cache_bit_width: int(8),
  };
  const outputs = emitterAfter(graph, node, scopeOf(node)).emitAll(node.op, [...leading, ...LEFT_OUT, ...scales], attributes, {
    name: 'QuantisedCacheAttention',
    wanted: node.outputs.map(() => true),
  });
  replaceNode(graph, node, outputs);
}

/** Of a cache [rows, kvHeads, capacity, headSize]. */
function channelCount({ name, shape: [, heads, , size] }: Value): number {
  if (typeof heads !== 'number' || typeof size !== 'number') throw new Error(`${name} has ${heads} heads of ${size}, expected numbers`);
  return heads * size;
}
