import { describe, expect, it } from 'vitest';
import { Graph } from '../ir/graph.ts';
import { checkpoint } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import { runPasses } from './pass.ts';

function graphWithDeadChain(): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph);
  const x = graph.addInput('x', 'float32', ['t']);
  const alive = emitter.emit('Sigmoid', [x], {}, { name: 'alive' });
  const dead = emitter.emit('Add', [alive, graph.initializer(checkpoint('w', [1]))], {}, { name: 'dead' });
  emitter.emit('Sigmoid', [dead], {}, { name: 'deader' });
  graph.addOutput(alive, 'y');
  return graph;
}

describe('eliminate-dead-code', () => {
  it('removes chains that lead nowhere with their initializers, and is done after one run', () => {
    const graph = graphWithDeadChain();
    expect(runPasses(graph, [eliminateDeadCode, eliminateDeadCode])).toEqual([
      { pass: 'eliminate-dead-code', modified: true, counts: { nodes: 2, initializers: 1 } },
      { pass: 'eliminate-dead-code', modified: false, counts: { nodes: 0, initializers: 0 } },
    ]);
    expect(graph.nodes.map(({ name }) => name)).toEqual(['alive']);
    expect(graph.initializers.size).toBe(0);
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x']);
  });
});
