// Orders a graph with a backward pass such that ONNX Runtime runs it with the least memory. It walks depth first from the last nodes that
// nothing reads, and into the input with the highest place first; so the order of the file decides when a value is made and let go.
import type { Graph, Node, Value } from '../ir/graph.ts';

/**
 * `passed` are the gradients that went from node to node. Forward nodes; then what the backward pass makes of forward values alone (made just before it is read, since gradients come behind it); then gradients
 * in the order of the pass; then results, those that should come first last.
 */
export function scheduleBackward(graph: Graph, forwardNodes: ReadonlySet<Node>, passed: ReadonlySet<Value>): void {
  const forward = withSources(graph, forwardNodes);
  const carriesGradient = new Set(passed);
  const kinds: Record<'forward' | 'prepared' | 'chain', Node[]> = { forward: [], prepared: [], chain: [] };
  const results: Node[] = [];
  for (const node of graph.nodes) {
    const isGradient = [...node.inputs, ...node.outputs].some((value) => value && carriesGradient.has(value));
    if (isGradient) for (const output of node.outputs) if (output) carriesGradient.add(output);
    if (node.outputs.every((output) => !output || graph.uses(output).length === 0)) results.push(node);
    else if (forward.has(node)) kinds.forward.push(node);
    else kinds[isGradient ? 'chain' : 'prepared'].push(node);
  }
  const backwardResults = results.filter((node) => !forward.has(node)).reverse();
  graph.reorderNodes([
    ...kinds.forward,
    ...kinds.prepared,
    ...kinds.chain,
    ...backwardResults,
    ...results.filter((node) => forward.has(node)),
  ]);
}

/** Passes after differentiation may have put other nodes under those of the forward pass. */
function withSources(graph: Graph, nodes: ReadonlySet<Node>): ReadonlySet<Node> {
  const all = new Set(nodes);
  for (const node of [...graph.nodes].reverse()) {
    if (!all.has(node)) continue;
    for (const input of node.inputs) {
      const producer = input && graph.producer(input);
      if (producer) all.add(producer);
    }
  }
  return all;
}
