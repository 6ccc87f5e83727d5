// What the compiler must know of an operator: arity, attributes, and the types of its outputs. One row of the table in table.ts.
// Later columns (gradients) attach to the same name.
import type { AttributeKind, Attributes } from '../ir/attributes.ts';
import type { PartialTensorType, TensorType } from '../ir/tensor-type.ts';

export interface InferenceContext {
  /** `null` where an optional input is left out. */
  readonly inputs: readonly (TensorType | null)[];
  readonly attributes: Attributes;
  readonly outputCount: number;
  /** Values of an input that is a constant of integers; null for any other. */
  constant(index: number): readonly number[] | null;
}

export interface OpSchema {
  readonly op: string;
  readonly domain: '' | 'com.microsoft';
  /** Names of the inputs in order; a trailing `?` marks those that may be left out, `...` a last one that repeats. */
  readonly inputs: readonly string[];
  /** Names of the outputs, marked as the inputs are. */
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, { readonly kind: AttributeKind; readonly required: boolean }>>;
  /** Types of all outputs that the operator may have. Throws an Error that says what does not fit. */
  infer(context: InferenceContext): readonly PartialTensorType[];
}

export const required = (kind: AttributeKind) => ({ kind, required: true }) as const;
export const optional = (kind: AttributeKind) => ({ kind, required: false }) as const;

export interface Arity {
  readonly least: number;
  readonly most: number;
}

/** How many inputs or outputs a list of marked names allows. */
export function arity(names: readonly string[]): Arity {
  const least = names.filter((name) => !name.endsWith('?')).length;
  return { least, most: names.at(-1)?.endsWith('...') ? Number.POSITIVE_INFINITY : names.length };
}

/** Name of the input or output at `index`, without its mark; repeated ones are numbered. */
export function slotName(names: readonly string[], index: number): string {
  const last = names.at(-1) ?? '';
  if (last.endsWith('...') && index >= names.length - 1) return `${last.slice(0, -3)}${index - names.length + 1}`;
  return (names[index] ?? `#${index}`).replace('?', '');
}
