export { decodeOnnxModel } from './decode.ts';
export { encodeOnnxModel } from './encode.ts';
export type {
  OnnxAttribute,
  OnnxElementType,
  OnnxExternalData,
  OnnxGraph,
  OnnxInitializer,
  OnnxInlineData,
  OnnxModel,
  OnnxNode,
  OnnxValue,
} from './model.ts';
