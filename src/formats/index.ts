// The room's entry: bytes to data and back, for every foreign format. Pure but for the ranged readers of big files.
export { FormatError } from './format-error.ts';
export { shownJson } from './json/shown-json.ts';
export { isJsonArray, isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from './json/strict-json.ts';
export { quoted } from './quoted.ts';
export * from './safetensors/index.ts';
export * from './gguf/index.ts';
export * from './peft/index.ts';
export * from './onnx/index.ts';
export { readTar, writeTar } from './tar.ts';
