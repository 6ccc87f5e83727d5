// What taking gradients refuses, leaves out and adds up.
import { describe, expect, it } from 'vitest';
import { differentiate, emitterAtEnd, Graph, int, type Value } from '../../src/graph/index.ts';
import { openGraph } from './support/run-graph.ts';

describe('differentiate', () => {
  function twoStep(): { readonly graph: Graph; readonly x: Value; readonly y: Value; readonly sum: Value } {
    const graph = new Graph('g');
    const [x, y] = [graph.addInput('x', 'float32', ['n']), graph.addInput('y', 'float32', ['n'])];
    const emitter = emitterAtEnd(graph);
    return { graph, x, y, sum: emitter.emit('Mul', [emitter.emit('Sigmoid', [x], {}, { name: 'inner' }), y], {}, { name: 'outer' }) };
  }

  it('refuses an operator without a rule by its name and the node', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['n']);
    const y = emitterAtEnd(graph, 'layer').emit('Round', [x]);
    expect(() => differentiate(graph, { of: y, by: [x] })).toThrow(
      /gradient of layer\/Round: operator Round has no gradient; the table has .*MatMul/,
    );
  });

  it('refuses a gather whose inverse is not known', () => {
    const graph = new Graph('g');
    const [x, ids] = [graph.addInput('x', 'float32', ['n', 3]), graph.addInput('ids', 'int64', ['m'])];
    const y = emitterAtEnd(graph).emit('Gather', [x, ids], { axis: int(0) });
    expect(() => differentiate(graph, { of: y, by: [x] })).toThrow('the inverse of ids is not known');
  });

  it('computes nothing that no wanted gradient needs', () => {
    const { graph, y, sum } = twoStep();
    const before = graph.nodes.length;
    const { gradients } = differentiate(graph, { of: sum, by: [y] });
    // The gradient by y is the sigmoid itself.
    expect(gradients.get(y)?.name).toBe('inner');
    expect(graph.nodes.length).toBe(before);
  });

  it('lets no gradient through a stopped value, and says so when one was wanted', () => {
    const { graph, x, y, sum } = twoStep();
    const inner = graph.value('inner');
    expect(() => differentiate(graph, { of: sum, by: [x, y], stop: new Set(inner ? [inner] : []) })).toThrow('outer does not depend on x');
  });

  it('adds up the gradients of a value that is read twice', async () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['n']);
    const square = emitterAtEnd(graph).emit('Mul', [x, x]);
    const { gradients } = differentiate(graph, { of: square, by: [x] });
    for (const gradient of gradients.values()) graph.addOutput(gradient, 'gradient');
    const opened = await openGraph(graph, () => new Float32Array());
    const { gradient } = await opened.run({ x: { data: Float32Array.of(1, -2, 3), dims: [3] } });
    await opened.close();
    expect([...(gradient?.data ?? [])]).toEqual([2, -4, 6]);
  });
});
