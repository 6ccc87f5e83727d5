// The weights of a training graph become blocks of int8 values that are turned to float32 where they are read: the arithmetic stays float32.
// GatherBlockQuantized of all rows does it in one step. Row numbers are graph inputs, so that no optimiser does it once and for all.
import { int, intAttribute } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { type BlockSize, quantised, recipeShape, SMALLEST_BLOCK, type WeightRecipe } from '../ir/recipe.ts';
import { input, output, replaceNode } from '../ir/rewrite.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** `blockSizeOf` a weight [out, in] says how many values share a scale. */
export function dequantiseWeights(blockSizeOf: (weight: WeightRecipe) => BlockSize): Pass {
  return {
    name: 'dequantise-weights',
    run(graph) {
      const counts = { products: 0, gathers: 0, keptFloat32: 0 };
      for (const node of graph.nodes.slice()) {
        const weight = weightOf(graph, node);
        if (!weight) continue;
        if ((recipeShape(weight)[1] ?? 0) % SMALLEST_BLOCK !== 0) counts.keptFloat32++;
        else counts[replace(graph, node, { weight, blockSize: blockSizeOf(weight) })]++;
      }
      const unused = [...graph.initializers.keys()].filter((value) => graph.uses(value).length === 0);
      for (const value of unused) graph.removeInitializer(value);
      return { modified: counts.products + counts.gathers > 0, counts };
    },
  };
}

interface Blocks {
  /** [N, K] */
  readonly weight: WeightRecipe;
  readonly blockSize: BlockSize;
}

/** Name of the input int64 [rows] that counts 0, 1, …: rows of the weights of that height. */
export function rowNumbers(rows: number): string {
  return `rows.${rows}`;
}

/** [out, in] of a product x W^T, the table of a gather; undefined for any other node. */
function weightOf(graph: Graph, node: Node): WeightRecipe | undefined {
  if (node.op === 'Gather') return tableOf(graph, node);
  const recipe = node.inputs[1] && graph.recipe(node.inputs[1]);
  if (node.op === 'MatMul') return recipe?.kind === 'transpose' ? recipe.of : undefined;
  return node.op === 'FusedMatMul' && (recipe?.kind === 'checkpoint' || recipe?.kind === 'rows') ? recipe : undefined;
}

/** What rows are gathered of: a weight, or one that is stored exchanged and gathered by columns. */
function tableOf(graph: Graph, node: Node): WeightRecipe | undefined {
  const recipe = graph.recipe(input(node, 0));
  const axis = intAttribute(node.attributes, 'axis', 0);
  if (recipe?.kind === 'transpose') return axis === 1 ? recipe.of : undefined;
  return recipe?.kind === 'checkpoint' && axis === 0 ? recipe : undefined;
}

function replace(graph: Graph, node: Node, blocks: Blocks): 'products' | 'gathers' {
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const site = node.site && { site: node.site };
  if (node.op !== 'Gather') {
    const [rows = 0] = recipeShape(blocks.weight);
    const name = rowNumbers(rows);
    const all = graph.value(name) ?? graph.addInput(name, 'int64', [rows]);
    const floats = rowsOf(emitter, blocks, all, { name: 'weight' });
    const product = emitter.emit('FusedMatMul', [input(node), floats], { transB: int(1) }, { ...site, name: 'product' });
    replaceNode(graph, node, [product]);
    return 'products';
  }
  const rows = rowsOf(emitter, blocks, input(node, 1), site ?? {});
  const [transposed] = graph.uses(output(node)).map((use) => use.node);
  if (graph.recipe(input(node, 0))?.kind !== 'transpose') replaceNode(graph, node, [rows]);
  else if (transposed?.op === 'Transpose') {
    // Columns of W^T that are transposed again are rows of W.
    replaceNode(graph, transposed, [rows]);
    graph.removeNode(node);
  } else throw new Error(`${node.name} gathers columns of a weight, expected a Transpose behind it`);
  return 'gathers';
}

/** Chosen rows of a weight [N, K] as float32. */
function rowsOf({ graph, emit }: Emitter, { weight, blockSize }: Blocks, indices: Value, options: Parameters<Emitter['emit']>[3]): Value {
  return emit(
    'GatherBlockQuantized',
    [
      graph.initializer(quantised(weight, 8, 'data', blockSize), recipeShape(weight)),
      indices,
      graph.initializer(quantised(weight, 8, 'scales', blockSize)),
      graph.initializer(quantised(weight, 8, 'zeros', blockSize)),
    ],
    { bits: int(8), block_size: int(blockSize), gather_axis: int(0), quantize_axis: int(1) },
    options,
  );
}
