import { describe, expect, it } from 'vitest';
import { int } from '../ir/attributes.ts';
import { Graph, type ProjectionSite } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { fuseProjections } from './fuse-projections.ts';
import { injectLora } from './inject-lora.ts';
import { runPasses } from './pass.ts';

function projection(site: ProjectionSite): Graph {
  const graph = new Graph('g');
  const out = site.parts.reduce((sum, part) => sum + part.outFeatures, 0);
  const x = graph.addInput('x', 'float32', ['b', 't', 4]);
  graph.addOutput(emitterAtEnd(graph, 'q').emit('MatMul', [x, graph.initializer(transpose(checkpoint('w', [out, 4])))], {}, { site }), 'y');
  return graph;
}

const single: ProjectionSite = { kind: 'linear', group: 'layers.0.o', parts: [{ site: 'layers.0.o', outFeatures: 3 }] };
const pair: ProjectionSite = {
  kind: 'linear',
  group: 'layers.0.gate_up',
  parts: [
    { site: 'layers.0.gate', outFeatures: 2 },
    { site: 'layers.0.up', outFeatures: 3 },
  ],
};

describe('inject-lora', () => {
  it('adds A and B beside a linear', () => {
    const graph = projection(single);
    const [report] = runPasses(graph, [injectLora('linear')]);
    expect(report).toEqual({
      pass: 'inject-lora-linear',
      modified: true,
      counts: { groups: 1, sites: 1 },
      loraGroups: [
        {
          id: 'layers.0.o',
          kind: 'linear',
          inFeatures: 4,
          parts: single.parts,
          inputs: { a: 'lora.layers.0.o.a', b: ['lora.layers.0.o.b'] },
        },
      ],
    });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %lora.layers.0.o.a: float32[b, 4, lora.layers.0.o.rank]
        %lora.layers.0.o.b: float32[b, lora.layers.0.o.rank, 3]
      ) {
        %q/MatMul: float32[b, t, 3] = MatMul(%x, @transpose(w))
        %q/lora/a: float32[b, t, lora.layers.0.o.rank] = MatMul(%x, %lora.layers.0.o.a)
        %q/lora/b: float32[b, t, 3] = MatMul(%q/lora/a, %lora.layers.0.o.b)
        %y: float32[b, t, 3] = Add(%q/MatMul, %q/lora/b)
        return %y
      }"
    `);
  });

  it('gives parts of a fused projection ranks of their own, and gain and bias in the full profile', () => {
    const graph = projection(pair);
    const [report] = runPasses(graph, [injectLora('full')]);
    expect(report?.loraGroups?.[0]?.inputs).toEqual({
      a: 'lora.layers.0.gate_up.a',
      ranks: 'lora.layers.0.gate_up.ranks',
      b: ['lora.layers.0.gate.b', 'lora.layers.0.up.b'],
      gain: 'lora.layers.0.gate_up.gain',
      bias: 'lora.layers.0.gate_up.bias',
    });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %lora.layers.0.gate_up.a: float32[b, 4, lora.layers.0.gate_up.rank]
        %lora.layers.0.gate_up.ranks: int64[2]
        %lora.layers.0.gate.b: float32[b, lora.layers.0.gate.rank, 2]
        %lora.layers.0.up.b: float32[b, lora.layers.0.up.rank, 3]
        %lora.layers.0.gate_up.gain: float32[b, 1, 5]
        %lora.layers.0.gate_up.bias: float32[b, 1, 5]
      ) {
        %q/MatMul: float32[b, t, 5] = MatMul(%x, @transpose(w))
        %q/lora/a: float32[b, t, lora.layers.0.gate_up.rank] = MatMul(%x, %lora.layers.0.gate_up.a)
        %q/lora/split.part0: float32[b, t, lora.layers.0.gate.rank], %q/lora/split.part1: float32[b, t, lora.layers.0.up.rank] = Split(%q/lora/a, %lora.layers.0.gate_up.ranks) {axis=-1}
        %q/lora/b0: float32[b, t, 2] = MatMul(%q/lora/split.part0, %lora.layers.0.gate.b)
        %q/lora/b1: float32[b, t, 3] = MatMul(%q/lora/split.part1, %lora.layers.0.up.b)
        %q/lora/concat: float32[b, t, 5] = Concat(%q/lora/b0, %q/lora/b1) {axis=-1}
        %q/lora/gain: float32[b, t, 5] = Mul(%q/MatMul, %lora.layers.0.gate_up.gain)
        %q/lora/sum: float32[b, t, 5] = Add(%q/lora/gain, %q/lora/concat)
        %y: float32[b, t, 5] = Add(%q/lora/sum, %lora.layers.0.gate_up.bias)
        return %y
      }"
    `);
  });

  it('adapts the parts of a fused projection behind its split, so that nothing is joined to be split again', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['b', 't', 4]);
    for (const part of pair.parts) {
      const weight = graph.initializer(transpose(checkpoint(`w.${part.site}`, [part.outFeatures, 4])));
      const site = { ...pair, parts: [part] };
      graph.addOutput(emitterAtEnd(graph, `mlp/${part.site}`).emit('MatMul', [x, weight], {}, { site }), `y.${part.site}`);
    }
    const [, report] = runPasses(graph, [fuseProjections, injectLora('full')]);
    const joined = runPasses(projection(pair), [injectLora('full')]);
    expect(report?.loraGroups).toEqual(joined[0]?.loraGroups);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %lora.layers.0.gate_up.a: float32[b, 4, lora.layers.0.gate_up.rank]
        %lora.layers.0.gate_up.ranks: int64[2]
        %lora.layers.0.gate.b: float32[b, lora.layers.0.gate.rank, 2]
        %lora.layers.0.up.b: float32[b, lora.layers.0.up.rank, 3]
        %lora.layers.0.gate_up.gain: float32[b, 1, 5]
        %lora.layers.0.gate_up.bias: float32[b, 1, 5]
      ) {
        %mlp/gate_up/MatMul: float32[b, t, 5] = MatMul(%x, @transpose(concat(w.layers.0.gate,w.layers.0.up)))
        %mlp/gate_up/Split: float32[b, t, 2], %mlp/gate_up/Split_2: float32[b, t, 3] = Split(%mlp/gate_up/MatMul, [2, 3]) {axis=-1}
        %mlp/gate_up/lora/a: float32[b, t, lora.layers.0.gate_up.rank] = MatMul(%x, %lora.layers.0.gate_up.a)
        %mlp/gate_up/lora/split.part0: float32[b, t, lora.layers.0.gate.rank], %mlp/gate_up/lora/split.part1: float32[b, t, lora.layers.0.up.rank] = Split(%mlp/gate_up/lora/a, %lora.layers.0.gate_up.ranks) {axis=-1}
        %mlp/gate_up/lora/b0: float32[b, t, 2] = MatMul(%mlp/gate_up/lora/split.part0, %lora.layers.0.gate.b)
        %mlp/gate_up/lora/b1: float32[b, t, 3] = MatMul(%mlp/gate_up/lora/split.part1, %lora.layers.0.up.b)
        %mlp/gate_up/lora/gains.part0: float32[b, 1, 2], %mlp/gate_up/lora/gains.part1: float32[b, 1, 3] = Split(%lora.layers.0.gate_up.gain, [2, 3]) {axis=-1}
        %mlp/gate_up/lora/biases.part0: float32[b, 1, 2], %mlp/gate_up/lora/biases.part1: float32[b, 1, 3] = Split(%lora.layers.0.gate_up.bias, [2, 3]) {axis=-1}
        %mlp/gate_up/lora/gain0: float32[b, t, 2] = Mul(%mlp/gate_up/Split, %mlp/gate_up/lora/gains.part0)
        %mlp/gate_up/lora/sum0: float32[b, t, 2] = Add(%mlp/gate_up/lora/gain0, %mlp/gate_up/lora/b0)
        %y.layers.0.gate: float32[b, t, 2] = Add(%mlp/gate_up/lora/sum0, %mlp/gate_up/lora/biases.part0)
        %mlp/gate_up/lora/gain1: float32[b, t, 3] = Mul(%mlp/gate_up/Split_2, %mlp/gate_up/lora/gains.part1)
        %mlp/gate_up/lora/sum1: float32[b, t, 3] = Add(%mlp/gate_up/lora/gain1, %mlp/gate_up/lora/b1)
        %y.layers.0.up: float32[b, t, 3] = Add(%mlp/gate_up/lora/sum1, %mlp/gate_up/lora/biases.part1)
        return %y.layers.0.gate, %y.layers.0.up
      }"
    `);
  });

  it('reads gathered rows of A beside the embedding, in the full profile only', () => {
    const embedding = (): Graph => {
      const graph = new Graph('g');
      const ids = graph.addInput('ids', 'int64', ['b', 't']);
      const site: ProjectionSite = { kind: 'embedding', group: 'embed', parts: [{ site: 'embed', outFeatures: 4 }] };
      graph.addOutput(
        emitterAtEnd(graph, 'embed').emit('Gather', [graph.initializer(checkpoint('w', [9, 4])), ids], { axis: int(0) }, { site }),
        'y',
      );
      return graph;
    };
    expect(runPasses(embedding(), [injectLora('linear')])[0]).toMatchObject({ modified: false, counts: { groups: 0, sites: 0 } });
    const graph = embedding();
    const [report] = runPasses(graph, [injectLora('full')]);
    expect(report?.loraGroups).toEqual([
      {
        id: 'embed',
        kind: 'embedding',
        inFeatures: 9,
        parts: [{ site: 'embed', outFeatures: 4 }],
        inputs: { a: 'lora.embed.a', b: ['lora.embed.b'], gain: 'lora.embed.gain' },
      },
    ]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %ids: int64[b, t]
        %lora.embed.a: float32[b, t, lora.embed.rank]
        %lora.embed.b: float32[b, lora.embed.rank, 4]
        %lora.embed.gain: float32[b, 1, 4]
      ) {
        %embed/Gather: float32[b, t, 4] = Gather(@w, %ids) {axis=0}
        %embed/lora/b: float32[b, t, 4] = MatMul(%lora.embed.a, %lora.embed.b)
        %embed/lora/gain: float32[b, t, 4] = Mul(%embed/Gather, %lora.embed.gain)
        %y: float32[b, t, 4] = Add(%embed/lora/gain, %embed/lora/b)
        return %y
      }"
    `);
  });

  it('refuses a graph that has adapter inputs', () => {
    const graph = projection(single);
    expect(() => runPasses(graph, [injectLora('linear'), injectLora('full')])).toThrow(
      'pass inject-lora-full (after inject-lora-linear): the graph has adapter inputs already',
    );
  });
});
