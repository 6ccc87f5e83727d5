// For calibration: projections get their row-wise product beside their own, and an input `row_wise.<group>` float32 [1] that goes from the one (0) to
// the other (1).
import { constant, type RowLevels } from '../ir/recipe.ts';
import type { Graph, Node } from '../ir/graph.ts';
import { output, projectionWeight } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';
import { emitRowProduct } from './quantise-rows.ts';

/** For the named groups, with weights of these levels, which this processor must compute exactly. */
export function tryRows(groups: ReadonlySet<string>, levels: RowLevels): Pass {
  return {
    name: 'try-rows',
    run(graph) {
      let tried = 0;
      for (const node of graph.nodes.slice()) {
        if (node.site?.kind !== 'linear' || !groups.has(node.site.group)) continue;
        addTrial(graph, node, node.site.group, levels);
        tried++;
      }
      return { modified: tried > 0, counts: { tried } };
    },
  };
}

function addTrial(graph: Graph, node: Node, group: string, levels: RowLevels): void {
  const weight = projectionWeight(graph, node);
  if (!weight) throw new Error(`${node.name} has no float32 weight`);
  const product = output(node);
  const users = [...graph.uses(product)];
  const emitter = emitterAfter(graph, node, `${scopeOf(node)}/trial`);
  const rowWise = emitRowProduct(emitter, node, { weight, levels, products: 1 });
  const negative = emitter.emit('Mul', [product, graph.initializer(constant(Float32Array.of(-1)))], {}, { name: 'negative' });
  const change = emitter.emit('Add', [rowWise, negative], {}, { name: 'change' });
  const chosen = emitter.emit('Mul', [change, graph.addInput(`row_wise.${group}`, 'float32', [1])], {}, { name: 'chosen' });
  graph.replaceUses(product, emitter.emit('Add', [product, chosen], {}, { name: 'tried' }), users);
}
