// For calibration: projections get their row-wise product beside their own, and an input `row_wise.<group>` float32 [1] that goes from the one (0) to
// the other (1).
import { constant, type RotationSize, type RowLevels } from '../ir/recipe.ts';
import type { Graph, Node } from '../ir/graph.ts';
import { output, projectionWeight } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';
import { emitTriedProduct } from './quantise-rows.ts';

export interface RowTrial {
  /** As in `RowProduct`. */
  readonly rotation: RotationSize | null;
  /** The product is to have one range for all rows: it is an input `range.<group>` float32 [1], and max |x| an output `largest.<group>` [rows, tokens, 1]. */
  readonly hasRange: boolean;
}

/** For the named groups, with weights of these levels, which this processor must compute exactly. */
export function tryRows(trials: ReadonlyMap<string, RowTrial>, levels: RowLevels): Pass {
  return {
    name: 'try-rows',
    run(graph) {
      let tried = 0;
      for (const node of graph.nodes.slice()) {
        const trial = node.site && node.site.kind !== 'embedding' && trials.get(node.site.group);
        if (!node.site || !trial) continue;
        addTrial(graph, node, node.site.group, { ...trial, levels });
        tried++;
      }
      return { modified: tried > 0, counts: { tried } };
    },
  };
}

function addTrial(graph: Graph, node: Node, group: string, trial: RowTrial & { readonly levels: RowLevels }): void {
  const weight = projectionWeight(graph, node);
  if (!weight) throw new Error(`${node.name} has no float32 weight`);
  const product = output(node);
  const users = [...graph.uses(product)];
  const emitter = emitterAfter(graph, node, `${scopeOf(node)}/trial`);
  const range = trial.hasRange ? graph.addInput(`range.${group}`, 'float32', [1]) : null;
  const { product: rowWise, largest } = emitTriedProduct(emitter, node, { ...trial, weight, range });
  if (range) graph.addOutput(largest, `largest.${group}`);
  const negative = emitter.emit('Mul', [product, graph.initializer(constant(Float32Array.of(-1)))], {}, { name: 'negative' });
  const change = emitter.emit('Add', [rowWise, negative], {}, { name: 'change' });
  const chosen = emitter.emit('Mul', [change, graph.addInput(`row_wise.${group}`, 'float32', [1])], {}, { name: 'chosen' });
  graph.replaceUses(product, emitter.emit('Add', [product, chosen], {}, { name: 'tried' }), users);
}
