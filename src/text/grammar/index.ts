// Grammars: what an output may look like, checked and matched in a thread of their own.
export { choiceGrammar, type Grammar, JSON_OBJECT_GRAMMAR, jsonSchemaGrammar, textGrammar } from './grammar.ts';
export { createGrammarChecker, type GrammarChecker } from './grammar-checker.ts';
export { GrammarThread, type GrammarThreadOptions } from './grammar-thread.ts';
export { serveGrammars } from './serve-grammars.ts';
export type { GrammarThreadData } from './thread-messages.ts';
export { grammarVocabulary } from './vocabulary.ts';
