// The room's entry: text to token ids and back, chat templates, and text that arrives in pieces.
export type * from './port.ts';
export { chatTemplate } from './chat-template.ts';
export { createDetokenizer } from './detokenizer.ts';
export { createStopMatcher } from './stop-matcher.ts';
export { createTokenizer } from './tokenizer.ts';
export type { TokenizerDefinition } from './tokenizer-definition.ts';
export { tokenizerFromGguf } from './tokenizer-from-gguf.ts';
export * from './grammar/index.ts';
