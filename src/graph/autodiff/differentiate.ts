// Reverse mode: adds to a graph the nodes that compute gradients of a sum (Griewank and Walther 2008, chapter 3), node by node from the table of rules.
import type { Graph, Node, Value } from '../ir/graph.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { type GradientEmitter, gradientEmitter } from './gradient-emitter.ts';
import type { Inverses } from './inverses.ts';
import type { GradientRule, RuleContext } from './rule.ts';
import { gradientRule } from './rules/table.ts';

export interface DifferentiateOptions {
  /** float32; its elements are summed. */
  readonly of: Value;
  /** Inputs, initializers or results of nodes. */
  readonly by: readonly Value[];
  /** Values that count as constants, whatever they are made from. */
  readonly stop?: ReadonlySet<Value>;
  readonly inverses?: Inverses;
}

export interface Differentiated {
  /** One for each value of `by`, of its shape. */
  readonly gradients: ReadonlyMap<Value, Value>;
  /** Every gradient on the way, wanted or not. */
  readonly passed: ReadonlySet<Value>;
}

/**
 * Adds the backward pass behind the last node; only what leads to a wanted gradient is computed.
 * @throws Error that names the node and operator which has no rule, or whose rule can't be applied.
 */
export function differentiate(graph: Graph, options: DifferentiateOptions): Differentiated {
  const active = activeValues(graph, options);
  for (const value of options.by) if (!active.has(value)) throw new Error(`${value.name} is a constant here: it has no gradient`);
  if (!active.has(options.of)) throw new Error(`${options.of.name} depends on none of the wanted values`);
  const first = gradientEmitter(emitterAtEnd(graph));
  const gradients = new Map<Value, Value>([[options.of, first.scalar(1)]]);
  for (const node of [...graph.nodes].reverse()) {
    if (node.outputs.some((output) => output && gradients.has(output))) passThrough(graph, node, { active, gradients, options });
  }
  const wanted = options.by.map((value): readonly [Value, Value] => {
    const found = gradients.get(value);
    if (!found) throw new Error(`${options.of.name} does not depend on ${value.name}`);
    return [value, first.expand(found, value)];
  });
  const made = [...gradients.values()].filter((value) => graph.producer(value));
  return { gradients: new Map(wanted), passed: new Set(made) };
}

/** Values that depend on a wanted one. */
function activeValues(graph: Graph, { by, stop }: DifferentiateOptions): ReadonlySet<Value> {
  const active = new Set(by);
  for (const node of graph.nodes) {
    if (!node.inputs.some((input) => input && active.has(input))) continue;
    for (const output of node.outputs) if (output?.type === 'float32' && !stop?.has(output)) active.add(output);
  }
  return active;
}

interface Pass {
  readonly active: ReadonlySet<Value>;
  readonly gradients: Map<Value, Value>;
  readonly options: DifferentiateOptions;
}

function passThrough(graph: Graph, node: Node, pass: Pass): void {
  const needed = node.inputs.map((input) => input !== null && pass.active.has(input));
  if (!needed.includes(true)) return;
  try {
    const rule = gradientRule(node.op);
    const emitter = gradientEmitter(emitterAtEnd(graph, `${node.name}/gradient`));
    const found = rule.gradients(contextOf(node, rule, needed, emitter, pass));
    for (const [index, gradient] of found.entries()) {
      const input = node.inputs[index];
      if (input && gradient && needed[index]) accumulate(emitter, pass.gradients, input, gradient);
    }
  } catch (error) {
    throw new Error(`gradient of ${node.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function accumulate(emitter: GradientEmitter, gradients: Map<Value, Value>, value: Value, gradient: Value): void {
  const present = gradients.get(value);
  gradients.set(value, present ? emitter.emit('Add', [present, gradient], {}, { name: 'sum' }) : gradient);
}

function contextOf(
  node: Node,
  rule: GradientRule,
  needed: readonly boolean[],
  emitter: GradientEmitter,
  { gradients, options }: Pass,
): RuleContext {
  const saved = rule.saves(needed);
  const present = (values: readonly (Value | null)[], index: number, what: string): Value => {
    const value = values[index];
    if (!value) throw new Error(`${node.op} has no ${what} ${index}`);
    return value;
  };
  const gradient = (index = 0): Value | null => {
    const output = node.outputs[index];
    return (output && gradients.get(output)) ?? null;
  };
  return {
    node,
    attributes: node.attributes,
    emitter,
    input: (index) => {
      if (!saved.inputs?.includes(index)) throw new Error(`the rule of ${node.op} did not save input ${index}`);
      return present(node.inputs, index, 'input');
    },
    output: (index) => {
      if (!saved.outputs?.includes(index)) throw new Error(`the rule of ${node.op} did not save output ${index}`);
      return present(node.outputs, index, 'output');
    },
    inputType: (index) => present(node.inputs, index, 'input'),
    needs: (index) => needed[index] ?? false,
    gradient,
    full: (index = 0) => {
      const passed = gradient(index);
      if (!passed) throw new Error(`output ${index} has no gradient`);
      return emitter.expand(passed, present(node.outputs, index, 'output'));
    },
    inverse: (indices) => options.inverses?.get(indices),
  };
}
