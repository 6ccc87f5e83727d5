import { describe, expect, it } from 'vitest';
import { int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { storedWeights } from '../serde.ts';
import { feedWeights } from './feed-weights.ts';

describe('feedWeights', () => {
  it('makes an input of the head, once for both of its products, and leaves the projections, whichever way they are read', () => {
    const graph = new Graph('g');
    const emitter = emitterAtEnd(graph);
    const weight = checkpoint('w', [3, 4]);
    const [forward, head] = [graph.initializer(transpose(weight)), graph.initializer(checkpoint('head', [5, 3]))];
    const y = emitter.emit('MatMul', [graph.addInput('x', 'float32', ['t', 4]), forward]);
    const logits = emitter.emit('FusedMatMul', [y, head], { transB: int(1) });
    const back = emitter.emit('FusedMatMul', [emitter.emit('FusedMatMul', [logits, head]), forward], { transB: int(1) });
    graph.addOutput(back, 'back');
    expect(feedWeights(graph).map(({ name, key, shape }) => [name, key, shape])).toEqual([['fed.head', 'head', [5, 3]]]);
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x', 'fed.head']);
    expect(storedWeights(graph).map(({ name }) => name)).toEqual([forward.name]);
    expect(feedWeights(graph)).toEqual([]);
  });
});
