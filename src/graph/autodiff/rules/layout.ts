// Gradients of operators that only move elements.
import { intAttribute, int, ints, text } from '../../ir/attributes.ts';
import type { Value } from '../../ir/graph.ts';
import { permutation } from '../../ops/training.ts';
import type { GradientRule, RuleContext } from '../rule.ts';

const reshape: GradientRule = {
  op: 'Reshape',
  saves: () => ({}),
  gradients: ({ full, inputType, emitter }) => [emitter.reshape(full(), inputType(0)), null],
};

const transpose: GradientRule = {
  op: 'Transpose',
  saves: () => ({}),
  gradients: ({ full, attributes, emitter }) => {
    const perm = permutation(attributes);
    return [emitter.emit('Transpose', [full()], { perm: ints(perm.map((_, axis) => perm.indexOf(axis))) })];
  },
};

/** Parts that nothing depends on have a gradient of zero. */
const split: GradientRule = {
  op: 'Split',
  saves: () => ({}),
  gradients: ({ node, full, gradient, attributes, emitter }) => {
    const parts = node.outputs.map((part, index) => {
      if (!part) throw new Error(`output ${index} is left out, expected all parts of the Split`);
      return gradient(index) ? full(index) : emitter.expand(emitter.scalar(0), part);
    });
    return [
      emitter.emit('Concat', parts, { axis: int(intAttribute(attributes, 'axis', 0)) }, { shapes: [node.inputs[0]?.shape ?? []] }),
      null,
    ];
  },
};

const concat: GradientRule = {
  op: 'Concat',
  saves: () => ({}),
  gradients: ({ node, full, attributes, emitter }) => {
    const axis = intAttribute(attributes, 'axis', 0);
    const sizes = node.inputs.map((part) => part?.shape.at(axis));
    if (!sizes.every((size) => typeof size === 'number')) throw new Error('parts of unknown size along the axis');
    return emitter.emitAll('Split', [full(), emitter.integers(sizes)], { axis: int(axis) }, { wanted: sizes.map(() => true) });
  },
};

const gather: GradientRule = {
  op: 'Gather',
  saves: () => ({ inputs: [1] }),
  gradients: (context) => {
    if (intAttribute(context.attributes, 'axis', 0) !== 0) throw new Error('gathers along another axis than the first');
    return [undone(context), null];
  },
};

function undone({ input, inputType, inverse, full, emitter }: RuleContext): Value {
  const found = inverse(input(1));
  if (!found) throw new Error(`the inverse of ${input(1).name} is not known`);
  const flat = flattened(emitter, full(), input(1).shape.length);
  const passed = found.missing === 'zero' ? withZeroRow(emitter, flat) : flat;
  const read = (indices: Value): Value => emitter.emit('Gather', [passed, indices], { axis: int(0) });
  const gathered = read(found.indices);
  if (!found.copies) return emitter.reshape(gathered, inputType(0));
  const { places, rows } = found.copies;
  return emitter.emit('ScatterElements', [gathered, rows, read(places)], { axis: int(0), reduction: text('add') });
}

/** The first `axes` axes as one. */
function flattened(emitter: RuleContext['emitter'], value: Value, axes: number): Value {
  if (axes === 1) return value;
  const rest = value.shape.slice(axes);
  const sizes = rest.map((size) => {
    if (typeof size !== 'number') throw new Error('gathers rows of unknown size');
    return size;
  });
  const target = emitter.integers([-1, ...sizes]);
  const places = value.shape.slice(0, axes);
  const count = places.every((size) => typeof size === 'number') ? places.reduce((product, size) => product * size, 1) : places.join('*');
  return emitter.emit('Reshape', [value, target], {}, { shapes: [[count, ...rest]] });
}

function withZeroRow(emitter: RuleContext['emitter'], value: Value): Value {
  const pads = Array.from({ length: 2 * value.shape.length }, (_, index) => (index === value.shape.length ? 1 : 0));
  const [rows, ...rest] = value.shape;
  return emitter.emit(
    'Pad',
    [value, emitter.integers(pads)],
    {},
    { shapes: [[typeof rows === 'number' ? rows + 1 : `${rows}+1`, ...rest]] },
  );
}

export const layoutRules: readonly GradientRule[] = [reshape, transpose, split, concat, gather];
