// Text to token ids and back for one tokenizer definition. Encoding is @huggingface/tokenizers' BPE over an exact pipeline; decoding joins bytes.
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { AppError, describeError } from '../core/index.ts';
import { exactNormalizer, exactPreTokenizer } from './exact-pipeline.ts';
import { createWordMerger, type WordMerger } from './long-word-merges.ts';
import type { Tokenizer } from './port.ts';
import { tokenBytesTable } from './token-bytes.ts';
import { checkTokenizer, refuseTokenizer, type CheckedTokenizer, type TokenizerDefinition } from './tokenizer-definition.ts';

/** The part of the library that is used; its own declarations do not resolve in ES modules (0.2.0 imports them without extension). */
interface LibraryEncoder {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
  /** Merges the characters of one word. */
  readonly model: { bpe: WordMerger };
}
type LibraryEncoderClass = new (tokenizerJson: object, config: object) => LibraryEncoder;
const Encoder = LibraryTokenizer as unknown as LibraryEncoderClass;

/** Shorter words are left to the library, which remembers them. */
const LONG_WORD_CHARACTERS = 256;

const LONE_SURROGATE = /\p{Surrogate}/gu;

/**
 * @throws AppError invalid_request that names the part of the definition which is broken or not supported.
 */
export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
  const checked = checkTokenizer(definition);
  const encoder = createEncoder(checked);
  const { bytes, dropsLeadingSpace } = tokenBytesTable(checked);
  const specialIds = new Set(checked.addedTokens.filter((token) => token.special).map((token) => token.id));

  function tokenBytes(tokenId: number): Uint8Array {
    const found = bytes[tokenId];
    if (found === undefined) {
      throw new AppError('invalid_request', `Token id ${tokenId} does not exist; the vocabulary has the ids 0 to ${bytes.length - 1}.`);
    }
    return found;
  }

  function decode(tokenIds: readonly number[], options: { readonly skipSpecial?: boolean } = {}): string {
    const skipSpecial = options.skipSpecial ?? true;
    const visible = skipSpecial ? tokenIds.filter((tokenId) => !specialIds.has(tokenId)) : tokenIds;
    const text = Buffer.concat(visible.map((tokenId) => tokenBytes(tokenId))).toString('utf8');
    return dropsLeadingSpace && text.startsWith(' ') ? text.slice(1) : text;
  }

  return {
    vocabularySize: checked.vocabularySize,
    eosTokenId: definition.eosTokenId,
    bosTokenId: definition.bosTokenId,
    addBos: definition.addBos,
    dropsLeadingSpace,
    // A lone surrogate is no character and has no UTF-8 form.
    encode: (text) => encoder.encode(text.replace(LONE_SURROGATE, '\uFFFD'), { add_special_tokens: false }).ids,
    decode,
    tokenBytes,
    isSpecial: (tokenId) => specialIds.has(tokenId),
  };
}

function createEncoder(checked: CheckedTokenizer): LibraryEncoder {
  // Special tokens around a text and decoding are done here, so the library gets neither.
  const tokenizerJson = {
    model: { ...checked.model, type: 'BPE', merges: checked.merges },
    normalizer: exactNormalizer(checked.normalizer),
    pre_tokenizer: exactPreTokenizer(checked.preTokenizer),
    added_tokens: checked.addedTokenRecords,
    post_processor: null,
    decoder: null,
  };
  try {
    const encoder = new Encoder(tokenizerJson, {});
    const mergeShort = encoder.model.bpe.bind(encoder.model);
    const mergeLong = createWordMerger(checked.merges);
    encoder.model.bpe = (word) => (word.length < LONG_WORD_CHARACTERS ? mergeShort(word) : mergeLong(word));
    return encoder;
  } catch (error) {
    return refuseTokenizer(describeError(error));
  }
}
