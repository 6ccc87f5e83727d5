// What a backward pass keeps alive: values of the forward pass that it reads.
import type { Graph, Node, Value } from '../ir/graph.ts';
import { ELEMENT_BYTES } from '../ir/tensor-type.ts';

export interface KeptValue {
  readonly value: Value;
  readonly producer: Node;
}

/** Each piece of memory once: a reshaped value is the value that it was made from. */
export function keptValues(graph: Graph, forward: ReadonlySet<Node>): readonly KeptValue[] {
  const kept = new Map<Value, Node>();
  for (const node of forward) {
    for (const output of node.outputs) {
      if (!output || !graph.uses(output).some((use) => !forward.has(use.node))) continue;
      const [value, producer] = unreshaped(graph, output, node);
      if (producer) kept.set(value, producer);
    }
  }
  return [...kept].map(([value, producer]) => ({ value, producer }));
}

function unreshaped(graph: Graph, value: Value, node: Node): readonly [Value, Node | undefined] {
  const source = node.op === 'Reshape' ? node.inputs[0] : null;
  if (!source) return [value, node];
  const producer = graph.producer(source);
  return producer ? unreshaped(graph, source, producer) : [source, undefined];
}

/** Bytes of a value when its named sizes are these. @throws Error when a name is missing. */
export function valueBytes({ name, shape, type }: Value, sizes: ReadonlyMap<string, number>): number {
  return shape.reduce<number>((product, dim) => {
    const size = typeof dim === 'number' ? dim : sizes.get(dim);
    if (size === undefined) throw new Error(`the size ${dim} of ${name} is not known`);
    return product * size;
  }, ELEMENT_BYTES[type]);
}
