// The table of gradients: op → rule. An operator without a rule can't lie between a wanted value and the loss.
import type { GradientRule } from '../rule.ts';
import { elementwiseRules } from './elementwise.ts';
import { layoutRules } from './layout.ts';
import { productRules } from './products.ts';
import { reductionRules } from './reductions.ts';

const table: ReadonlyMap<string, GradientRule> = new Map(
  [...elementwiseRules, ...layoutRules, ...productRules, ...reductionRules].map((rule) => [rule.op, rule]),
);

/** Operators that have a rule. */
export const differentiableOps: readonly string[] = [...table.keys()];

/** @throws Error that names an operator which the table lacks. */
export function gradientRule(op: string): GradientRule {
  const rule = table.get(op);
  if (!rule) throw new Error(`operator ${op} has no gradient; the table has ${differentiableOps.join(', ')}`);
  return rule;
}
