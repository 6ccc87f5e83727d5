// The vocabulary as grammars see it: the bytes of each token. Needs no encoder, so it is made much faster than a tokenizer.
import { tokenBytesTable } from '../token-bytes.ts';
import { checkTokenizer, type TokenizerDefinition } from '../tokenizer-definition.ts';
import type { VocabularyBytes } from './xgrammar.ts';

/** One entry for each of `vocabularySize` logits; special tokens are empty: no grammar lets them come. @throws AppError as `createTokenizer`. */
export function grammarVocabulary(definition: TokenizerDefinition, vocabularySize: number): VocabularyBytes {
  const checked = checkTokenizer(definition);
  const special = new Set(checked.addedTokens.filter((token) => token.special).map((token) => token.id));
  const { bytes } = tokenBytesTable(checked);
  return Array.from({ length: vocabularySize }, (_, id) => (special.has(id) ? undefined : bytes[id]) ?? new Uint8Array(0));
}
