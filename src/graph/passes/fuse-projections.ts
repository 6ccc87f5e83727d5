// Projections over the same input and of the same group become one MatMul with their weights one below the other, and a Split.
// Where all of them have a bias, the biases become one too.
import type { Graph, Node, Value } from '../ir/graph.ts';
import { int } from '../ir/attributes.ts';
import { concatRows, constant, transpose, type WeightRecipe } from '../ir/recipe.ts';
import { input, output, projectionWeight, soleUser } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

interface Projection {
  readonly node: Node;
  readonly weight: WeightRecipe;
  /** The Add of a bias behind the projection, and the bias. */
  readonly bias: { readonly node: Node; readonly recipe: WeightRecipe } | null;
}

export const fuseProjections: Pass = {
  name: 'fuse-projections',
  run(graph) {
    const groups = groupsOf(graph);
    for (const group of groups) fuse(graph, group);
    return { modified: groups.length > 0, counts: { groups: groups.length, projections: groups.flat().length } };
  },
  ensures(graph) {
    const [left] = groupsOf(graph);
    if (left) throw new Error(`${left.map(({ node }) => node.name).join(' and ')} are still apart`);
  },
};

/** Groups of at least two projections, each in the order of the graph. */
function groupsOf(graph: Graph): readonly (readonly [Projection, Projection, ...Projection[]])[] {
  const byInput = new Map<Value, Map<string, Projection[]>>();
  for (const node of graph.nodes) {
    const weight = projectionWeight(graph, node);
    if (!weight || !node.site) continue;
    const groups = byInput.get(input(node)) ?? new Map<string, Projection[]>();
    byInput.set(input(node), groups);
    groups.set(node.site.group, [...(groups.get(node.site.group) ?? []), { node, weight, bias: biasOf(graph, node) }]);
  }
  return [...byInput.values()]
    .flatMap((groups) => [...groups.values()])
    .filter((group): group is [Projection, Projection, ...Projection[]] => group.length > 1);
}

function biasOf(graph: Graph, node: Node): Projection['bias'] {
  const user = soleUser(graph, output(node));
  if (user?.op !== 'Add') return null;
  const other = user.inputs.find((value) => value !== output(node));
  const recipe = other && graph.recipe(other);
  return recipe ? { node: user, recipe } : null;
}

function fuse(graph: Graph, group: readonly [Projection, Projection, ...Projection[]]): void {
  const [{ node: first }] = group;
  const parts = group.flatMap(({ node }) => node.site?.parts ?? []);
  const name = first.site?.group ?? '';
  const parent = scopeOf(first).split('/').slice(0, -1);
  const emitter = emitterAfter(graph, first, [...parent, name.slice(name.lastIndexOf('.') + 1)].join('/'));
  const weight = graph.initializer(transpose(concatRows(group.map((projection) => projection.weight))));
  const product = emitter.emit('MatMul', [input(first), weight], {}, { site: { kind: 'linear', group: name, parts } });
  const biases = group.map(({ bias }) => bias).filter((bias) => bias !== null);
  const fuseBias = biases.length === group.length;
  const sum = fuseBias ? emitter.emit('Add', [product, graph.initializer(concatRows(biases.map(({ recipe }) => recipe)))]) : product;
  const widths = group.map(({ node }) => output(node).shape.at(-1));
  const sizes = graph.initializer(constant(BigInt64Array.from(widths, (width) => BigInt(width ?? 0))));
  const split = emitter.emitAll('Split', [sum, sizes], { axis: int(-1) }, { wanted: group.map(() => true) });
  for (const [index, { node, bias }] of group.entries()) {
    const part = split[index];
    if (!part) throw new Error(`${name} has no part ${index}`);
    const replaced = fuseBias && bias ? bias.node : node;
    graph.replaceUses(output(replaced), part);
    graph.removeNode(replaced);
    if (replaced !== node) graph.removeNode(node);
  }
}
