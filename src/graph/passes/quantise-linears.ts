// Base weights become blocks: projections MatMulNBits, the embedding GatherBlockQuantized. Side paths stay as they are.
// Head and embedding are always 8 bits, so that a tied pair is stored once.
import { int } from '../ir/attributes.ts';
import type { Graph, Node, ProjectionSite, Value } from '../ir/graph.ts';
import {
  type BlockSize,
  constant,
  quantised,
  recipeShape,
  rotated,
  type RotationSize,
  SMALLEST_BLOCK,
  type WeightRecipe,
} from '../ir/recipe.ts';
import { input, projectionWeight, replaceNode } from '../ir/rewrite.ts';
import { emitRotation } from '../ops/emit-rotation.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** Activations are quantised to int8 block by block inside the kernel. */
const INT8_ACTIVATIONS = 4;

/** How a weight [out, in] is rounded to 8 bits. */
export interface BlockForm {
  readonly size: BlockSize;
  /**
   * Values of x that are turned together before the kernel rounds them, W beforehand: (x H)(H W) = x W. What an embedding looks up is turned back.
   * null: none.
   */
  readonly rotation: RotationSize | null;
}

/** The same for one weight in every graph of a base, so that they share it. */
export type BlockFormOf = (weight: WeightRecipe) => BlockForm;

/** Linears of the `wide` groups take 8 bits in any case. Blocks of 4 bits have 32 values, as they are. */
export function quantiseLinears(bits: 8 | 4, formOf: BlockFormOf, wide: ReadonlySet<string> = new Set()): Pass {
  return {
    name: `quantise-linears-${bits}`,
    run(graph) {
      const counts = { bits8: 0, bits4: 0, keptFloat32: 0 };
      const blockSums: BlockSums = new Map();
      for (const node of graph.nodes.slice()) {
        const { site } = node;
        const weight = site && baseWeight(graph, node, site);
        if (!weight) continue;
        if ((recipeShape(weight)[1] ?? 0) % SMALLEST_BLOCK !== 0) {
          counts.keptFloat32++;
          continue;
        }
        const nodeBits = site.kind === 'linear' && !wide.has(site.group) ? bits : 8;
        replace(graph, node, site, { weight, bits: nodeBits, ...(nodeBits === 8 ? formOf(weight) : FOUR_BITS), blockSums });
        counts[`bits${nodeBits}`]++;
      }
      return { modified: counts.bits8 + counts.bits4 > 0, counts };
    },
  };
}

/** Sums over blocks of an activation, shared by the projections that read it. */
type BlockSums = Map<Value, Value>;

const FOUR_BITS: BlockForm = { size: SMALLEST_BLOCK, rotation: null };

interface Plan extends BlockForm {
  /** [out, in]; embedding: [vocabulary, hidden]. */
  readonly weight: WeightRecipe;
  readonly bits: 8 | 4;
  readonly blockSums: BlockSums;
}

function baseWeight(graph: Graph, node: Node, site: ProjectionSite): WeightRecipe | undefined {
  if (site.kind !== 'embedding') return projectionWeight(graph, node);
  return node.op === 'Gather' ? graph.recipe(input(node, 0)) : undefined;
}

function replace(graph: Graph, node: Node, site: ProjectionSite, plan: Plan): void {
  const weights = node.inputs.filter((value) => value !== null).filter((value) => graph.recipe(value));
  replaceNode(graph, node, [emitBlocks(emitterAfter(graph, node, scopeOf(node)), node, plan, site)]);
  for (const value of weights) if (graph.uses(value).length === 0) graph.removeInitializer(value);
}

function emitBlocks(emitter: Emitter, node: Node, plan: Plan, site: ProjectionSite): Value {
  if (site.kind === 'embedding') return emitGather(emitter, node, plan, site);
  return plan.bits === 8 ? emitMatMul8(emitter, node, plan, site) : emitMatMul4(emitter, node, plan, site);
}

function emitGather(emitter: Emitter, node: Node, { weight, size, rotation }: Plan, site: ProjectionSite): Value {
  const { graph } = emitter;
  const part = (name: 'data' | 'scales' | 'zeros', shape?: readonly number[]): Value =>
    graph.initializer(quantised(turned(weight, rotation), 8, name, size), shape);
  const rows = emitter.emit(
    'GatherBlockQuantized',
    [part('data', recipeShape(weight)), input(node, 1), part('scales'), part('zeros')],
    { bits: int(8), block_size: int(size), gather_axis: int(0), quantize_axis: int(1) },
    { site },
  );
  return emitRotation(emitter, rows, rotation);
}

function turned(weight: WeightRecipe, rotation: RotationSize | null): WeightRecipe {
  return rotation === null ? weight : rotated(weight, rotation);
}

function emitMatMul8(emitter: Emitter, node: Node, plan: Plan, site: ProjectionSite): Value {
  const { graph } = emitter;
  const { weight, size, rotation } = plan;
  const parts = (['data', 'scales', 'zeros'] as const).map((part) => graph.initializer(quantised(turned(weight, rotation), 8, part, size)));
  return emitter.emit('MatMulNBits', [emitRotation(emitter, input(node), rotation), ...parts], blockAttributes(plan), { site });
}

/** scale * (q - 8) + minimum, exactly: the symmetric product plus the block sums of x times the minimums. */
function emitMatMul4(emitter: Emitter, node: Node, plan: Plan, site: ProjectionSite): Value {
  const { graph } = emitter;
  const { weight, blockSums } = plan;
  const x = input(node);
  const [data, scales, minimums] = (['data', 'scales', 'minimums'] as const).map((part) => graph.initializer(quantised(weight, 4, part)));
  if (!data || !scales || !minimums) throw new Error(`${node.name} lost a part of its weight`);
  const symmetric = emitter.emit('MatMulNBits', [x, data, scales], blockAttributes(plan));
  const sums = blockSums.get(x) ?? emitBlockSums(emitter, x);
  blockSums.set(x, sums);
  const correction = emitter.emit('MatMul', [sums, minimums], {}, { name: 'minimums' });
  return emitter.emit('Add', [symmetric, correction], {}, { site });
}

/** [batch, seq, K] → [batch, seq, K/32] */
function emitBlockSums(emitter: Emitter, x: Value): Value {
  const { graph } = emitter;
  const width = x.shape.at(-1);
  if (typeof width !== 'number') throw new Error(`${x.name} has a width of ${width ?? 'nothing'}, expected a number`);
  const blocked = graph.initializer(constant(BigInt64Array.from([0, 0, width / SMALLEST_BLOCK, SMALLEST_BLOCK], BigInt)));
  const blocks = emitter.emit('Reshape', [x, blocked], {}, { name: 'blocks' });
  return emitter.emit(
    'ReduceSum',
    [blocks, graph.initializer(constant(BigInt64Array.of(-1n)))],
    { keepdims: int(0) },
    { name: 'block_sums' },
  );
}

function blockAttributes({ weight, bits, size }: Plan) {
  const [rows = 0, inner = 0] = recipeShape(weight);
  return { K: int(inner), N: int(rows), bits: int(bits), block_size: int(size), accuracy_level: int(INT8_ACTIVATIONS) };
}
