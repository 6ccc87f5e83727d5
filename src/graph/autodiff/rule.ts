// What a gradient rule is. A rule sees only the saved values that it says it needs, and returns gradients of the inputs that are asked for.
import type { Attributes } from '../ir/attributes.ts';
import type { Node, Value } from '../ir/graph.ts';
import type { GradientEmitter } from './gradient-emitter.ts';
import type { Inverse } from './inverses.ts';

export interface SavedValues {
  readonly inputs?: readonly number[];
  readonly outputs?: readonly number[];
}

export interface RuleContext {
  readonly node: Node;
  readonly attributes: Attributes;
  readonly emitter: GradientEmitter;
  /** A saved value. @throws Error when the rule did not say that it needs it. */
  readonly input: (index: number) => Value;
  readonly output: (index: number) => Value;
  /** Type and shape only: keeps nothing alive at run time. */
  readonly inputType: (index: number) => Value;
  /** Whether the gradient of this input is asked for. */
  readonly needs: (index: number) => boolean;
  /**
   * Gradient of an output, null where nothing depends on it. Its shape is the output's, or broadcasts to it: a sum hands its gradient on
   * unexpanded. `full` has the output's own shape.
   */
  readonly gradient: (index?: number) => Value | null;
  readonly full: (index?: number) => Value;
  /** How a gather by these indices is undone, where that is known. */
  readonly inverse: (indices: Value) => Inverse | undefined;
}

export interface GradientRule {
  readonly op: string;
  /** Values of the forward pass that the gradients of these inputs are made from. */
  saves(needed: readonly boolean[]): SavedValues;
  /** One entry an input; null where none is needed or none exists. */
  gradients(context: RuleContext): readonly (Value | null)[];
}
