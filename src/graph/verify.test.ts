import { describe, expect, it } from 'vitest';
import { int } from './ir/attributes.ts';
import { Graph, type Value } from './ir/graph.ts';
import { verify } from './verify.ts';

function sigmoid(
  graph: Graph,
  x: Value,
  output: { readonly name: string; readonly type: 'float32' | 'int64'; readonly shape: readonly (string | number)[] },
  options: { readonly domain?: 'com.microsoft'; readonly after?: null } = {},
) {
  return graph.addNode(
    { op: 'Sigmoid', domain: options.domain ?? '', name: output.name, inputs: [x], attributes: {} },
    [output],
    options.after,
  );
}

describe('verify', () => {
  it('accepts a right graph', () => {
    const graph = new Graph('g');
    sigmoid(graph, graph.addInput('x', 'float32', ['t']), { name: 'y', type: 'float32', shape: ['t'] });
    expect(() => verify(graph)).not.toThrow();
  });

  it('refuses a use before its value is made', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    const { outputs } = sigmoid(graph, x, { name: 'y', type: 'float32', shape: ['t'] });
    sigmoid(graph, outputs[0] ?? x, { name: 'z', type: 'float32', shape: ['t'] }, { after: null });
    expect(() => verify(graph)).toThrow('z uses y before it is made');
  });

  it('refuses a type that the operator does not give', () => {
    const graph = new Graph('g');
    sigmoid(graph, graph.addInput('x', 'float32', ['t']), { name: 'y', type: 'float32', shape: ['u'] });
    expect(() => verify(graph)).toThrow('y makes y as float32[u], but Sigmoid gives float32[t]');
  });

  it('refuses an operator in the wrong domain', () => {
    const graph = new Graph('g');
    sigmoid(graph, graph.addInput('x', 'float32', ['t']), { name: 'y', type: 'float32', shape: ['t'] }, { domain: 'com.microsoft' });
    expect(() => verify(graph)).toThrow('y puts Sigmoid in the domain "com.microsoft"');
  });

  it('names the node whose operator or attributes are wrong', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t']);
    graph.addNode({ op: 'Sigmoid', domain: '', name: 'layers.0/y', inputs: [x], attributes: { axis: int(1) } }, [
      { name: 'y', type: 'float32', shape: ['t'] },
    ]);
    expect(() => verify(graph)).toThrow('layers.0/y: Sigmoid: has no attribute axis');
  });
});
