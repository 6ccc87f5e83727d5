// The part of this folder that other rooms use.
export { type GgufFile, openGguf, parseGguf } from './file.ts';
export { ADAPTER_GGUF_LIMITS } from './limits.ts';
export { type GgufTensorContent, writeGguf } from './write.ts';
