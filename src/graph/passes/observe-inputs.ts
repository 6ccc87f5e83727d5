// For calibration: the input of every linear projection becomes an output of the graph, `input.<group>` [rows, tokens, inFeatures].
import { input } from '../ir/rewrite.ts';
import type { Pass } from './pass.ts';

/** Projections that read one value count once, so they must have one group: run it after fuse-projections. */
export const observeInputs: Pass = {
  name: 'observe-inputs',
  run(graph) {
    let observed = 0;
    for (const node of graph.nodes) {
      if (node.site?.kind !== 'linear') continue;
      graph.addOutput(input(node), `input.${node.site.group}`);
      observed++;
    }
    return { modified: observed > 0, counts: { observed } };
  },
};
