// Numbers of onnx.proto for what the records name.
import type { OnnxAttribute, OnnxElementType } from './model.ts';

/** TensorProto.DataType */
export const ELEMENT_CODES: Readonly<Record<OnnxElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
};
/** AttributeProto.AttributeType */
export const ATTRIBUTE_CODES: Readonly<Record<OnnxAttribute['kind'], number>> = { float: 1, int: 2, string: 3, ints: 7 };
/** TensorProto.DataLocation.EXTERNAL */
export const EXTERNAL = 1;

const elementTypes = new Map(Object.entries(ELEMENT_CODES).map(([type, code]) => [code, type as OnnxElementType]));

export function elementTypeOf(code: number): OnnxElementType | undefined {
  return elementTypes.get(code);
}
