import { describe, expect, it } from 'vitest';
import { verify } from '../verify.ts';
import { Graph, type Value } from './graph.ts';
import { checkpoint, concatRows, transpose } from './recipe.ts';

function add(graph: Graph, name: string, inputs: readonly Value[], after?: Parameters<Graph['addNode']>[2]) {
  const node = graph.addNode({ op: 'Add', domain: '', name, inputs, attributes: {} }, [{ name, type: 'float32', shape: ['t'] }], after);
  const [output] = node.outputs;
  if (!output) throw new Error('Add has an output');
  return { node, output };
}

describe('Graph', () => {
  it('tracks uses through additions, replacements and removals', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    const y = graph.addInput('y', 'float32', ['t']);
    const twice = add(graph, 'twice', [x, x]);
    const sum = add(graph, 'sum', [twice.output, x]);
    graph.addOutput(sum.output, 'result');
    expect(graph.uses(x).map(({ node, index }) => [node.name, index])).toEqual([
      ['twice', 0],
      ['twice', 1],
      ['sum', 1],
    ]);
    graph.replaceUses(x, y, graph.uses(x).slice(0, 1));
    expect(twice.node.inputs).toEqual([y, x]);
    graph.replaceUses(twice.output, y);
    graph.removeNode(twice.node);
    expect(graph.uses(x)).toHaveLength(1);
    expect(graph.uses(y)).toHaveLength(1);
    verify(graph);
  });

  it('hands an output and its name to the value that replaces it', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    const old = add(graph, 'old', [x, x]);
    graph.addOutput(old.output, 'result');
    const better = add(graph, 'better', [x, x]);
    graph.replaceUses(old.output, better.output);
    graph.removeNode(old.node);
    expect(graph.outputs).toEqual([better.output]);
    expect(better.output.name).toBe('result');
    verify(graph);
  });

  it('refuses to remove a node whose output is used or is an output', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    const first = add(graph, 'first', [x, x]);
    const second = add(graph, 'second', [first.output, x]);
    graph.addOutput(second.output, 'result');
    expect(() => graph.removeNode(first.node)).toThrow("first can't be removed: first is still used");
    expect(() => graph.removeNode(second.node)).toThrow("second can't be removed: result is still used");
  });

  it('refuses values of another graph and names that are taken', () => {
    const graph = new Graph('g');
    graph.addInput('x', 'float32', ['t']);
    const foreign = new Graph('other').addInput('x', 'float32', ['t']);
    expect(() => add(graph, 'sum', [foreign, foreign])).toThrow('sum uses x, which is no value of graph g');
    expect(() => graph.addInput('x', 'float32', [])).toThrow('the name is taken');
  });

  it('puts nodes behind the one that is asked for, and numbers names that are taken', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    const first = add(graph, 'sum', [x, x]);
    add(graph, 'last', [x, x]);
    add(graph, 'sum', [x, x], first.node);
    add(graph, 'front', [x, x], null);
    expect(graph.nodes.map(({ name }) => name)).toEqual(['front', 'sum', 'sum_2', 'last']);
  });

  it('makes one initializer of equal recipes, and one more for another shape of the same bytes', () => {
    const graph = new Graph('g');
    const recipe = () => transpose(concatRows([checkpoint('a', [2, 3]), checkpoint('b', [1, 3])]));
    const first = graph.initializer(recipe());
    expect(graph.initializer(recipe())).toBe(first);
    const flat = graph.initializer(recipe(), [9]);
    expect([first.name, flat.name]).toEqual(['transpose(concat(a,b))', 'transpose(concat(a,b)):9']);
    expect(first.shape).toEqual([3, 3]);
  });
});
