// Attributes of nodes: a typed union, because ONNX tells the integer 1 from the float 1.

export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] };

export type AttributeKind = Attribute['kind'];
export type Attributes = Readonly<Record<string, Attribute>>;

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
export const text = (value: string): Attribute => ({ kind: 'string', value });

/** The integer attribute `name`, or `fallback` when the node has none. */
export function intAttribute(attributes: Attributes, name: string, fallback: number): number {
  const attribute = attributes[name];
  if (!attribute) return fallback;
  if (attribute.kind !== 'int') throw new Error(`attribute ${name} is ${attribute.kind}, expected int`);
  return attribute.value;
}
