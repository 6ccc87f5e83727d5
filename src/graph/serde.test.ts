import { describe, expect, it } from 'vitest';
import { decodeOnnxModel, encodeOnnxModel } from '../formats/onnx/index.ts';
import { float, int } from './ir/attributes.ts';
import { Graph } from './ir/graph.ts';
import { checkpoint, constant, quantised, transpose } from './ir/recipe.ts';
import { emitterAtEnd } from './ops/emitter.ts';
import { printGraph } from './print.ts';
import { fromOnnx, storedWeights, toOnnx } from './serde.ts';
import { verify } from './verify.ts';

function graphOfEverything(): Graph {
  const graph = new Graph('everything');
  const emitter = emitterAtEnd(graph, 'layers.0');
  const x = graph.addInput('x', 'float32', ['b', 't', 64]);
  const sizes = graph.addInput('sizes', 'int64', [2]);
  const linear = emitter.emit('MatMul', [x, graph.initializer(transpose(checkpoint('w', [64, 64])))]);
  const [normed, sum] = emitter.emitAll(
    'SkipSimplifiedLayerNormalization',
    [x, linear, graph.initializer(checkpoint('norm', [64]))],
    { epsilon: float(1e-5) },
    { wanted: [true, false, false, true] },
  );
  const parts = emitter.emitAll(
    'Split',
    [normed ?? x, sizes],
    { axis: int(-1) },
    {
      wanted: [true, true],
      shapes: [
        ['b', 't', 'left'],
        ['b', 't', 'right'],
      ],
    },
  );
  const reshaped = emitter.emit('Reshape', [sum ?? x, graph.initializer(constant(BigInt64Array.of(0n, 0n, 2n, 32n)))]);
  for (const [index, value] of [...parts, reshaped].entries()) graph.addOutput(value, `y${index}`);
  return graph;
}

const place = (length: number) => () => ({ location: 'weights.bin', offset: 0, length });

describe('serde', () => {
  it('brings a graph back from its bytes as it was', () => {
    const graph = graphOfEverything();
    const lengths = new Map(storedWeights(graph).map(({ key, shape }) => [key, shape.reduce((product, size) => product * size, 4)]));
    const bytes = encodeOnnxModel(toOnnx(graph, (key) => ({ location: 'weights.bin', offset: 4096, length: lengths.get(key) ?? 0 })));
    const recipes = new Map([...graph.initializers].map(([value, recipe]) => [value.name, recipe]));
    const back = fromOnnx(decodeOnnxModel(bytes), (name) => recipes.get(name) ?? constant(new Uint8Array()));
    verify(back);
    expect(printGraph(back).replaceAll(/epsilon=[^}]*/g, '')).toBe(printGraph(graph).replaceAll(/epsilon=[^}]*/g, ''));
  });

  it('lists what the weights file must hold, small constants left out', () => {
    expect(storedWeights(graphOfEverything()).map(({ name, key, type, shape }) => [name, key, type, shape])).toEqual([
      ['transpose(w)', 'transpose(w)', 'float32', [64, 64]],
      ['norm', 'norm', 'float32', [64]],
    ]);
  });

  it('reads one stored weight in two shapes', () => {
    const graph = new Graph('g');
    const data = quantised(checkpoint('w', [4, 64]), 8, 'data');
    graph.initializer(data);
    graph.initializer(data, [4, 64]);
    const { initializers } = toOnnx(graph, place(256)).graph;
    expect(initializers.map(({ dims, data: { kind } }) => [dims, kind])).toEqual([
      [[4, 2, 32], 'external'],
      [[4, 64], 'external'],
    ]);
    expect(new Set(storedWeights(graph).map(({ key }) => key)).size).toBe(1);
  });

  it('refuses a place whose length is not that of the weight', () => {
    const graph = new Graph('g');
    graph.initializer(checkpoint('w', [4, 64]));
    expect(() => toOnnx(graph, place(1000))).toThrow('weight w is stored in 1000 bytes, expected 1024');
  });
});
