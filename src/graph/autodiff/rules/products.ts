// Gradients of matrix products: two more products, by exchanged axes and never by copies.
import { type Attributes, intAttribute } from '../../ir/attributes.ts';
import type { Value } from '../../ir/graph.ts';
import type { GradientEmitter } from '../gradient-emitter.ts';
import type { GradientRule, RuleContext } from '../rule.ts';

interface Product {
  readonly alpha: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

/** C = alpha op(A) op(B): dA = alpha dC op(B)^T, dB = alpha op(A)^T dC; exchanged where A or B is read exchanged. */
function productGradients(context: RuleContext, { alpha, transA, transB }: Product): readonly (Value | null)[] {
  const { emitter, input, inputType, needs } = context;
  const passed = context.full();
  return [
    needs(0)
      ? summed(
          emitter,
          transA
            ? emitter.matMul({ left: input(1), right: passed, transA: transB, transB: true, alpha })
            : emitter.matMul({ left: passed, right: input(1), transB: !transB, alpha }),
          inputType(0),
        )
      : null,
    needs(1)
      ? summed(
          emitter,
          transB
            ? emitter.matMul({ left: passed, right: input(0), transA: true, transB: transA, alpha })
            : emitter.matMul({ left: input(0), right: passed, transA: !transA, alpha }),
          inputType(1),
        )
      : null,
  ];
}

function summed(emitter: GradientEmitter, value: Value, like: Value): Value {
  return emitter.sumTo(value, like.shape);
}

const saves: GradientRule['saves'] = ([left = false, right = false]) => ({ inputs: [...(left ? [1] : []), ...(right ? [0] : [])] });

const matMul: GradientRule = {
  op: 'MatMul',
  saves,
  gradients: (context) => productGradients(context, { alpha: 1, transA: false, transB: false }),
};

const fusedMatMul: GradientRule = {
  op: 'FusedMatMul',
  saves,
  gradients: (context) => productGradients(context, attributesOf(context.attributes)),
};

function attributesOf(attributes: Attributes): Product {
  const { alpha } = attributes;
  return {
    alpha: alpha?.kind === 'float' ? alpha.value : 1,
    transA: intAttribute(attributes, 'transA', 0) === 1,
    transB: intAttribute(attributes, 'transB', 0) === 1,
  };
}

/** beta must be 1: the addend's gradient is then the sum's own. */
const gemm: GradientRule = {
  op: 'Gemm',
  saves,
  gradients: (context) => {
    const { beta } = context.attributes;
    if (beta?.kind === 'float' && beta.value !== 1) throw new Error(`Gemm has beta ${beta.value}, expected 1`);
    const addend = context.node.inputs[2];
    return [
      ...productGradients(context, attributesOf(context.attributes)),
      addend && context.needs(2) ? context.emitter.sumTo(context.full(), addend.shape) : null,
    ];
  },
};

export const productRules: readonly GradientRule[] = [matMul, fusedMatMul, gemm];
