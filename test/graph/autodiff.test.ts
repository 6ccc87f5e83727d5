// Every rule of the gradient table against finite differences in ONNX Runtime, over ranks and kinds of broadcasting.
import { describe, expect, it } from 'vitest';
import { differentiableOps } from '../../src/graph/autodiff/rules/table.ts';
import { differentiate, emitterAtEnd, Graph, int, type Value } from '../../src/graph/index.ts';
import { constant } from '../../src/graph/ir/recipe.ts';
import { verify } from '../../src/graph/verify.ts';
import { type Case, CASES, integers } from './autodiff-cases.ts';
import { seededValues } from './support/random.ts';
import { type Feed, openGraph } from './support/run-graph.ts';

/** Central differences of float32 functions of order 1 with a step of 1e-2: their own error is about 1e-3 of the slope. */
const SLOPE_TOLERANCE = 5e-3;
const STEP = 1e-2;

interface Built {
  readonly graph: Graph;
  readonly inputs: readonly Value[];
  readonly gradients: ReadonlyMap<Value, Value>;
}

/** Sum of the operator's outputs, each element with a weight of its own, and its gradients by every input. */
function build({ op, shapes, attributes = {}, constants, outputs = 1, wanted, inverse }: Case): Built {
  const graph = new Graph('case');
  const inputs = shapes.map((shape, index) => graph.addInput(`x${index}`, 'float32', shape));
  const emitter = emitterAtEnd(graph);
  const more = constants?.(graph) ?? [];
  const results = emitter.emitAll(op, [...inputs, ...more], attributes, { wanted: Array.from({ length: outputs }, () => true) });
  const read = wanted ? results.filter((_, index) => wanted.includes(index)) : results;
  const terms = read.map((result, index) => {
    const weights = seededValues(size(result.shape), `${op} ${index}`);
    const product = emitter.emit('Mul', [result, graph.initializer(constant(weights, result.shape.map(Number)))]);
    const axes = result.shape.map((_, axis) => axis);
    return axes.length === 0 ? product : emitter.emit('ReduceSum', [product, integers(graph, axes)], { keepdims: int(0) });
  });
  const sum = terms.reduce((left, right) => emitter.emit('Add', [left, right]));
  const { gradients } = differentiate(graph, { of: sum, by: inputs, inverses: inverse?.(graph, more) ?? new Map() });
  graph.addOutput(sum, 'sum');
  // Two inputs may have one gradient between them.
  for (const gradient of new Set(gradients.values())) graph.addOutput(gradient, `gradient of ${gradient.name}`);
  verify(graph);
  return { graph, inputs, gradients };
}

function size(shape: Value['shape']): number {
  return shape.reduce<number>((product, dim) => product * Number(dim), 1);
}

interface Slope {
  readonly found: number;
  readonly expected: number;
}

/** Slopes of the sum along two directions for each input: by finite differences, and by the gradient. */
async function slopesOf(wanted: Case): Promise<readonly Slope[]> {
  const { graph, inputs, gradients } = build(wanted);
  const opened = await openGraph(graph, () => new Float32Array());
  const values = inputs.map((input) =>
    seededValues(size(input.shape), `${wanted.title} ${input.name}`).map((value) => (wanted.positive ? 1.5 + 0.5 * value : value)),
  );
  const feeds = (moved?: { readonly index: number; readonly by: Float32Array; readonly step: number }): Record<string, Feed> =>
    Object.fromEntries(
      inputs.map((input, index) => {
        const data = (values[index] ?? new Float32Array()).map((value, place) =>
          moved?.index === index ? value + moved.step * (moved.by[place] ?? 0) : value,
        );
        return [input.name, { data, dims: input.shape.map(Number) }];
      }),
    );
  const results = await opened.run(feeds());
  const slopes: Slope[] = [];
  for (const [index, input] of inputs.entries()) {
    const gradient = results[gradients.get(input)?.name ?? ''];
    if (String(gradient?.dims) !== String(input.shape)) throw new Error(`the gradient of ${input.name} is [${String(gradient?.dims)}]`);
    for (const seed of ['one direction', 'another']) {
      const by = seededValues(size(input.shape), seed);
      const ahead = (await opened.run(feeds({ index, by, step: STEP })))['sum']?.data[0] ?? Number.NaN;
      const behind = (await opened.run(feeds({ index, by, step: -STEP })))['sum']?.data[0] ?? Number.NaN;
      const expected = by.reduce((sum, change, place) => sum + change * (gradient?.data[place] ?? Number.NaN), 0);
      slopes.push({ found: (ahead - behind) / (2 * STEP), expected });
    }
  }
  await opened.close();
  return slopes;
}

describe('gradients', () => {
  it.each(CASES.map((wanted) => [wanted.op, wanted.title, wanted] as const))(
    'of %s agree with finite differences: %s',
    async (_, __, wanted) => {
      const slopes = await slopesOf(wanted);
      expect(slopes.length).toBe(2 * wanted.shapes.length);
      for (const { found, expected } of slopes)
        expect(Math.abs(found - expected)).toBeLessThan(SLOPE_TOLERANCE * Math.max(1, Math.abs(expected)));
    },
  );

  it('are checked for every operator of the table', () => {
    expect(new Set(CASES.map(({ op }) => op))).toEqual(new Set(differentiableOps));
  });
});
