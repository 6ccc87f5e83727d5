// Removes nodes whose outputs nothing uses, and initializers without a use.
import type { Pass } from './pass.ts';

export const eliminateDeadCode: Pass = {
  name: 'eliminate-dead-code',
  run(graph) {
    const isUsed = (value: (typeof graph.inputs)[number] | null): boolean =>
      value !== null && (graph.uses(value).length > 0 || graph.isOutput(value));
    let nodes = 0;
    for (const node of [...graph.nodes].reverse()) {
      if (node.outputs.some(isUsed)) continue;
      graph.removeNode(node);
      nodes++;
    }
    const unused = [...graph.initializers.keys()].filter((value) => !isUsed(value));
    for (const value of unused) graph.removeInitializer(value);
    return { modified: nodes + unused.length > 0, counts: { nodes, initializers: unused.length } };
  },
};
