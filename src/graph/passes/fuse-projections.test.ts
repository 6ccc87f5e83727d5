import { describe, expect, it } from 'vitest';
import { Graph, type Value } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { fuseProjections } from './fuse-projections.ts';
import { runPasses } from './pass.ts';

interface LinearSpec {
  readonly name: string;
  readonly out: number;
  readonly bias?: boolean;
  readonly group?: string;
}

function graphOf(linears: readonly LinearSpec[], inputOf: (name: string) => string = () => 'x'): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph, 'mlp');
  const inputs = new Map<string, Value>();
  for (const { name, out, bias, group = 'layers.0.gate_up' } of linears) {
    const inputName = inputOf(name);
    const x = inputs.get(inputName) ?? graph.addInput(inputName, 'float32', ['b', 't', 4]);
    inputs.set(inputName, x);
    const site = { kind: 'linear', group, parts: [{ site: `layers.0.${name}`, outFeatures: out }] } as const;
    const product = emitter
      .scope(name)
      .emit('MatMul', [x, graph.initializer(transpose(checkpoint(`${name}.weight`, [out, 4])))], {}, { site });
    const sum = bias ? emitter.scope(name).emit('Add', [product, graph.initializer(checkpoint(`${name}.bias`, [out]))]) : product;
    graph.addOutput(sum, name);
  }
  return graph;
}

describe('fuse-projections', () => {
  it('makes one MatMul of projections with one input and group', () => {
    const graph = graphOf([
      { name: 'gate', out: 2 },
      { name: 'up', out: 3 },
    ]);
    expect(runPasses(graph, [fuseProjections])).toEqual([
      { pass: 'fuse-projections', modified: true, counts: { groups: 1, projections: 2 } },
    ]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
      ) {
        %mlp/gate_up/MatMul: float32[b, t, 5] = MatMul(%x, @transpose(concat(gate.weight,up.weight)))
        %gate: float32[b, t, 2], %up: float32[b, t, 3] = Split(%mlp/gate_up/MatMul, [2, 3]) {axis=-1}
        return %gate, %up
      }"
    `);
    expect(graph.nodes[0]?.site).toEqual({
      kind: 'linear',
      group: 'layers.0.gate_up',
      parts: [
        { site: 'layers.0.gate', outFeatures: 2 },
        { site: 'layers.0.up', outFeatures: 3 },
      ],
    });
  });

  it('makes one of the biases where all have one', () => {
    const graph = graphOf([
      { name: 'gate', out: 2, bias: true },
      { name: 'up', out: 3, bias: true },
    ]);
    runPasses(graph, [fuseProjections]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
      ) {
        %mlp/gate_up/MatMul: float32[b, t, 5] = MatMul(%x, @transpose(concat(gate.weight,up.weight)))
        %mlp/gate_up/Add: float32[b, t, 5] = Add(%mlp/gate_up/MatMul, @concat(gate.bias,up.bias))
        %gate: float32[b, t, 2], %up: float32[b, t, 3] = Split(%mlp/gate_up/Add, [2, 3]) {axis=-1}
        return %gate, %up
      }"
    `);
  });

  it('leaves the biases behind the Split where some have none', () => {
    const graph = graphOf([
      { name: 'gate', out: 2, bias: true },
      { name: 'up', out: 3 },
    ]);
    runPasses(graph, [fuseProjections]);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['MatMul', 'Split', 'Add']);
  });

  it('changes nothing where inputs or groups differ, and says so', () => {
    const linears = [
      { name: 'gate', out: 2 },
      { name: 'up', out: 3 },
    ];
    const inputsDiffer = graphOf(linears, (name) => `x_${name}`);
    const groupsDiffer = graphOf(linears.map((linear) => ({ ...linear, group: linear.name })));
    for (const graph of [inputsDiffer, groupsDiffer]) {
      const before = printGraph(graph);
      expect(runPasses(graph, [fuseProjections])[0]).toMatchObject({ modified: false, counts: { groups: 0 } });
      expect(printGraph(graph)).toBe(before);
    }
  });
});
