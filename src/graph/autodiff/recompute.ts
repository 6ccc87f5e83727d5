// Lets the backward pass compute values of the forward pass again instead of keeping them (Chen et al. 2016, "Training deep nets with
// sublinear memory cost"): nodes are repeated for the readers behind the forward pass.
import type { Graph, Node, Value } from '../ir/graph.ts';

/**
 * Repeats `nodes`, as far as nodes outside of `forward` read them. What the repeated nodes read from elsewhere is kept. The session must not merge
 * equal nodes again (CommonSubexpressionElimination). Answers how many nodes were repeated.
 */
export function recompute(graph: Graph, nodes: ReadonlySet<Node>, forward: ReadonlySet<Node>): number {
  const wanted = new Set<Node>();
  const want = (node: Node): void => {
    if (wanted.has(node) || !nodes.has(node)) return;
    wanted.add(node);
    for (const input of node.inputs) {
      const producer = input && graph.producer(input);
      if (producer) want(producer);
    }
  };
  for (const node of nodes)
    if (node.outputs.some((output) => output && graph.uses(output).some((use) => !forward.has(use.node)))) want(node);
  const lastForward = graph.nodes.findLast((node) => forward.has(node));
  if (!lastForward) return 0;
  let after = lastForward;
  const again = new Map<Value, Value>();
  const repeatedNodes = new Set<Node>();
  for (const node of graph.nodes.slice()) {
    if (!wanted.has(node)) continue;
    const inputs = node.inputs.map((input) => (input && again.get(input)) ?? input);
    const { op, domain, attributes } = node;
    after = graph.addNode(
      { op, domain, attributes, inputs, name: `${node.name}/again` },
      node.outputs.map((output) => output && { ...output, name: `${output.name}/again` }),
      after,
    );
    repeatedNodes.add(after);
    for (const [index, output] of node.outputs.entries()) {
      const repeated = after.outputs[index];
      if (!output || !repeated) continue;
      again.set(output, repeated);
      const readers = graph.uses(output).filter((use) => !forward.has(use.node) && !repeatedNodes.has(use.node));
      graph.replaceUses(output, repeated, readers);
    }
  }
  return wanted.size;
}
