// Gradients of operators that work along an axis: sums, softmax and its logarithm's normaliser, root-mean-square norm, rotation.
import { int, intAttribute } from '../../ir/attributes.ts';
import type { Value } from '../../ir/graph.ts';
import { normaliseAxis } from '../../ops/shapes.ts';
import type { GradientEmitter } from '../gradient-emitter.ts';
import type { GradientRule } from '../rule.ts';

const keepLast = { keepdims: int(1) };

function sumOfLast(emitter: GradientEmitter, value: Value): Value {
  return emitter.emit('ReduceSum', [value, emitter.integers([-1])], keepLast);
}

/** The gradient is handed on unexpanded; where axes were dropped, they come back with size 1. */
const reduceSum: GradientRule = {
  op: 'ReduceSum',
  saves: () => ({}),
  gradients: ({ node, gradient, full, attributes, inputType, emitter }) => {
    if (intAttribute(attributes, 'keepdims', 1) === 1) return [gradient(), null];
    const { graph } = emitter;
    const recipe = node.inputs[1] && graph.recipe(node.inputs[1]);
    if (recipe?.kind !== 'values' || !(recipe.values instanceof BigInt64Array)) throw new Error('axes are computed, expected constants');
    const { shape } = inputType(0);
    const axes = Array.from(recipe.values, (axis) => normaliseAxis(Number(axis), shape.length));
    const kept = shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const target = kept.map((size) => (typeof size === 'number' ? size : -1));
    if (target.filter((size) => size === -1).length > 1) throw new Error('more than one size that is left is open');
    return [emitter.emit('Reshape', [full(), emitter.integers(target)], {}, { shapes: [kept] }), null];
  },
};

/** y (dy - sum(y dy)) */
const softmax: GradientRule = {
  op: 'Softmax',
  saves: () => ({ outputs: [0] }),
  gradients: ({ node, full, output, attributes, emitter }) => {
    const rank = output(0).shape.length;
    if (normaliseAxis(intAttribute(attributes, 'axis', -1), rank) !== rank - 1)
      throw new Error(`${node.name} is along another axis than the last`);
    const passed = full();
    const mean = sumOfLast(emitter, emitter.mul(passed, output(0)));
    return [emitter.mul(output(0), emitter.emit('Sub', [passed, mean]))];
  },
};

/** softmax(x) dy */
const reduceLogSumExp: GradientRule = {
  op: 'ReduceLogSumExp',
  saves: () => ({ inputs: [0] }),
  gradients: ({ gradient, input, emitter }) => {
    const passed = gradient();
    return [passed && emitter.mul(emitter.emit('Softmax', [input(0)], { axis: int(-1) }), passed)];
  },
};

/** y = x r g with r = 1 / rms(x): dx = r (dy g) - x r^3 / n sum(x dy g), dg = sum of dy x r (Zhang and Sennrich 2019). */
const simplifiedLayerNormalization: GradientRule = {
  op: 'SimplifiedLayerNormalization',
  saves: ([x = false]) => ({ inputs: x ? [0, 1] : [0], outputs: [1] }),
  gradients: ({ node, full, needs, input, output, inputType, emitter }) => {
    const width = inputType(0).shape.at(-1);
    if (typeof width !== 'number') throw new Error(`${node.name} is ${width ?? 'nothing'} wide, expected a number`);
    const [x, inverse, passed] = [input(0), output(1), full()];
    const scaleGradient = needs(1) ? emitter.sumTo(emitter.mul(emitter.mul(passed, x), inverse), inputType(1).shape) : null;
    if (!needs(0)) return [null, scaleGradient];
    const scaled = emitter.mul(passed, input(1));
    const dot = sumOfLast(emitter, emitter.mul(scaled, x));
    const cube = emitter.mul(emitter.mul(inverse, inverse), emitter.mul(inverse, emitter.scalar(1 / width)));
    const along = emitter.mul(x, emitter.mul(dot, cube));
    return [emitter.emit('Sub', [emitter.mul(scaled, inverse), along]), scaleGradient];
  },
};

/** A rotation is undone by the opposite angle. */
const rotaryEmbedding: GradientRule = {
  op: 'RotaryEmbedding',
  saves: () => ({ inputs: [1, 2, 3] }),
  gradients: ({ full, input, attributes, emitter }) => [
    emitter.emit('RotaryEmbedding', [full(), input(1), input(2), opposite(emitter, input(3))], attributes),
    null,
    null,
    null,
  ],
};

/** All layers share one table of opposite angles. */
function opposite(emitter: GradientEmitter, sin: Value): Value {
  const known = emitter.graph.uses(sin).find(({ node }) => node.op === 'Neg')?.node.outputs[0];
  return known ?? emitter.emit('Neg', [sin]);
}

export const reductionRules: readonly GradientRule[] = [reduceSum, softmax, reduceLogSumExp, simplifiedLayerNormalization, rotaryEmbedding];
