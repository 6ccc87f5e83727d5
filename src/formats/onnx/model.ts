// An ONNX model as plain records: the part of the format that the graph compiler writes and reads. Knows nothing of protobuf.

export type OnnxElementType = 'float32' | 'float64' | 'int64' | 'int32' | 'uint8' | 'int8' | 'bool';

export interface OnnxModel {
  readonly irVersion: number;
  readonly producerName: string;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly graph: OnnxGraph;
}

export interface OnnxGraph {
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Types of values between nodes; may be incomplete. */
  readonly values: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
  /** In topological order. */
  readonly nodes: readonly OnnxNode[];
}

export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxElementType;
  /** A string is a dimension that is only known at run time. */
  readonly dims: readonly (number | string)[];
}

export interface OnnxInitializer {
  readonly name: string;
  readonly type: OnnxElementType;
  readonly dims: readonly number[];
  readonly data: OnnxInlineData | OnnxExternalData;
}

/** Little-endian bytes inside the model. */
export interface OnnxInlineData {
  readonly kind: 'inline';
  readonly bytes: Uint8Array;
}

/** Bytes of another file: its path relative to the model, and where in it they lie. */
export interface OnnxExternalData {
  readonly kind: 'external';
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxNode {
  readonly op: string;
  readonly domain: string;
  readonly name: string;
  /** Empty: an optional input or output that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly OnnxAttribute[];
}

export type OnnxAttribute =
  | { readonly name: string; readonly kind: 'int'; readonly value: number }
  | { readonly name: string; readonly kind: 'float'; readonly value: number }
  | { readonly name: string; readonly kind: 'string'; readonly value: string }
  | { readonly name: string; readonly kind: 'ints'; readonly value: readonly number[] };

export const ONNX_ELEMENT_BYTES: Readonly<Record<OnnxElementType, number>> = {
  float32: 4,
  float64: 8,
  int64: 8,
  int32: 4,
  uint8: 1,
  int8: 1,
  bool: 1,
};
