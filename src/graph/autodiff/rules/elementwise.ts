// Gradients of operators that work element by element, with broadcasting.
import type { Value } from '../../ir/graph.ts';
import { sameShape } from '../../ir/tensor-type.ts';
import type { GradientRule, RuleContext } from '../rule.ts';

/** The gradient that reaches input `index`: expanded where that input was broadcast, so that summing counts every element. */
function reaching({ node, gradient, full, inputType }: RuleContext, index: number): Value | null {
  return sameShape(inputType(index).shape, node.outputs[0]?.shape ?? []) ? gradient() : full();
}

const add: GradientRule = {
  op: 'Add',
  saves: () => ({}),
  gradients: (context) =>
    [0, 1].map((index) => {
      const passed = context.needs(index) ? reaching(context, index) : null;
      return passed && context.emitter.sumTo(passed, context.inputType(index).shape);
    }),
};

const sub: GradientRule = {
  op: 'Sub',
  saves: () => ({}),
  gradients: (context) =>
    [0, 1].map((index) => {
      const { emitter, inputType } = context;
      const passed = context.needs(index) ? reaching(context, index) : null;
      const summed = passed && emitter.sumTo(passed, inputType(index).shape);
      return index === 0 || !summed ? summed : emitter.emit('Neg', [summed]);
    }),
};

const mul: GradientRule = {
  op: 'Mul',
  saves: ([left = false, right = false]) => ({ inputs: [...(left ? [1] : []), ...(right ? [0] : [])] }),
  gradients: (context) =>
    [0, 1].map((index) => {
      const { emitter, input, inputType } = context;
      const passed = context.needs(index) ? reaching(context, index) : null;
      return passed && emitter.sumTo(emitter.mul(passed, input(1 - index)), inputType(index).shape);
    }),
};

/** d(a / b): dy / b, and -y dy / b. */
const div: GradientRule = {
  op: 'Div',
  saves: ([, right = false]) => ({ inputs: [1], outputs: right ? [0] : [] }),
  gradients: ({ full, needs, input, output, inputType, emitter }) => {
    const quotient = emitter.emit('Div', [full(), input(1)]);
    return [
      needs(0) ? emitter.sumTo(quotient, inputType(0).shape) : null,
      needs(1) ? emitter.sumTo(emitter.emit('Neg', [emitter.mul(quotient, output(0))]), inputType(1).shape) : null,
    ];
  },
};

/** y (1 - y) dy */
const sigmoid: GradientRule = {
  op: 'Sigmoid',
  saves: () => ({ outputs: [0] }),
  gradients: ({ gradient, output, emitter }) => {
    const passed = gradient();
    if (!passed) return [null];
    const slope = emitter.mul(output(0), emitter.emit('Sub', [emitter.scalar(1), output(0)]));
    return [emitter.mul(slope, passed)];
  },
};

/** dy / (2 y) */
const sqrt: GradientRule = {
  op: 'Sqrt',
  saves: () => ({ outputs: [0] }),
  gradients: ({ gradient, output, emitter }) => {
    const passed = gradient();
    return [passed && emitter.emit('Div', [emitter.mul(passed, emitter.scalar(0.5)), output(0)])];
  },
};

/** y = x s with s = sigmoid(x): dy (s + y (1 - s)), in as few passes as there are. */
const quickGelu: GradientRule = {
  op: 'QuickGelu',
  saves: () => ({ inputs: [0], outputs: [0] }),
  gradients: ({ gradient, input, output, attributes, emitter }) => {
    const { alpha } = attributes;
    if (alpha?.kind !== 'float' || alpha.value !== 1) throw new Error('alpha is not 1');
    const passed = gradient();
    if (!passed) return [null];
    const gate = emitter.emit('Sigmoid', [input(0)]);
    const rest = emitter.emit('Sub', [output(0), emitter.mul(output(0), gate)]);
    return [emitter.mul(passed, emitter.emit('Add', [gate, rest], {}, { name: 'slope' }))];
  },
};

export const elementwiseRules: readonly GradientRule[] = [add, sub, mul, div, sigmoid, sqrt, quickGelu];
