import { describe, expect, it } from 'vitest';
import { Graph, type ProjectionSite } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { observeInputs } from './observe-inputs.ts';
import { runPasses } from './pass.ts';

function site(kind: ProjectionSite['kind'], group: string): ProjectionSite {
  return { kind, group, parts: [{ site: group, outFeatures: 4 }] };
}

describe('observe-inputs', () => {
  it('gives out what linears read, and not what the head reads', () => {
    const graph = new Graph('g');
    const emitter = emitterAtEnd(graph);
    const weight = (name: string) => graph.initializer(transpose(checkpoint(name, [4, 4])));
    const x = graph.addInput('x', 'float32', ['b', 't', 4]);
    const activated = emitter.emit('Sigmoid', [x]);
    const projected = emitter.emit('MatMul', [activated, weight('w')], {}, { site: site('linear', 'layers.0.o') });
    const logits = emitter.emit('MatMul', [projected, weight('h')], {}, { site: site('head', 'head') });
    graph.addOutput(logits, 'logits');
    expect(runPasses(graph, [observeInputs])).toMatchObject([{ modified: true, counts: { observed: 1 } }]);
    expect(graph.outputs).toEqual([logits, activated]);
    expect(activated.name).toBe('input.layers.0.o');
  });
});
