// A tokenizer definition from GGUF metadata, already parsed into plain values: byte-level BPE (`gpt2`) and SentencePiece BPE (`llama`).
// Knows nothing of the file format. Keys: the GGUF specification; defaults: llama.cpp (src/llama-vocab.cpp).
import { GGUF_PRE_TOKENIZERS } from './gguf-pre-tokenizers.ts';
import type { JsonRecord } from './json.ts';
import { sentencePieceMerges } from './sentencepiece-merges.ts';
import { refuseTokenizer, type TokenizerDefinition } from './tokenizer-definition.ts';

type GgufMetadata = ReadonlyMap<string, unknown>;

/** Values of `tokenizer.ggml.token_type`. */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface GgufVocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/** @throws AppError invalid_request that names the key, or the kind of tokenizer, that is missing or not supported. */
export function tokenizerFromGguf(metadata: GgufMetadata): TokenizerDefinition {
  const model = metadata.get('tokenizer.ggml.model');
  switch (model) {
    case 'gpt2':
      return byteLevelTokenizer(metadata);
    case 'llama':
      return sentencePieceTokenizer(metadata);
    case undefined:
      return refuseTokenizer('the GGUF file has no tokenizer.ggml.model; import the model from its Hugging Face directory instead');
    default:
      return refuseTokenizer(
        `GGUF tokenizer ${shown(model)} is not supported (supported: gpt2, llama); import the model from its Hugging Face directory instead`,
      );
  }
}

function byteLevelTokenizer(metadata: GgufMetadata): TokenizerDefinition {
  const name = metadata.get('tokenizer.ggml.pre') ?? 'default';
  const known = typeof name === 'string' ? GGUF_PRE_TOKENIZERS.get(name) : undefined;
  if (known === undefined) {
    const supported = [...GGUF_PRE_TOKENIZERS.keys()].join(', ');
    refuseTokenizer(`GGUF pre-tokenizer ${shown(name)} is not known (known: ${supported}); import the Hugging Face directory instead`);
  }
  const vocabulary = readVocabulary(metadata);
  const merges = readList(metadata, 'tokenizer.ggml.merges', isString).map((merge) => splitMerge(merge));
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      normalizer: known.normalizer,
      pre_tokenizer: known.preTokenizer,
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: bpeModel({ ignore_merges: known.ignoreMerges, vocab: vocabularyObject(vocabulary.tokens), merges }),
    },
    ...specialTokens(metadata, known.addBos),
  };
}

function sentencePieceTokenizer(metadata: GgufMetadata): TokenizerDefinition {
  const vocabulary = readVocabulary(metadata);
  const scores = readList(metadata, 'tokenizer.ggml.scores', isNumber);
  checkLength('tokenizer.ggml.scores', scores, vocabulary.tokens);
  const { tokens, types } = vocabulary;
  const pieces = tokens
    .map((piece, id) => ({ piece, score: scores[id] ?? 0, type: types[id] }))
    .filter(({ type }) => type !== TOKEN_TYPE.userDefined);
  const unknownToken = tokens[types.indexOf(TOKEN_TYPE.unknown)] ?? null;
  const addsSpace = readFlag(metadata, 'tokenizer.ggml.add_space_prefix') ?? true;
  const replaceSpaces = { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' };
  const restoreSpaces = [{ type: 'Replace', pattern: { String: '\u2581' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      normalizer: { type: 'Sequence', normalizers: addsSpace ? [{ type: 'Prepend', prepend: '\u2581' }, replaceSpaces] : [replaceSpaces] },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: addsSpace ? [...restoreSpaces, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : restoreSpaces,
      },
      model: bpeModel({
        unk_token: unknownToken,
        fuse_unk: true,
        byte_fallback: true,
        vocab: vocabularyObject(tokens),
        merges: sentencePieceMerges(pieces),
      }),
    },
    ...specialTokens(metadata, true),
  };
}

function bpeModel(parts: JsonRecord): JsonRecord {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    ...parts,
  };
}

function readVocabulary(metadata: GgufMetadata): GgufVocabulary {
  const tokens = readList(metadata, 'tokenizer.ggml.tokens', isString);
  if (tokens.length === 0) refuseTokenizer('tokenizer.ggml.tokens is empty');
  const types = readList(metadata, 'tokenizer.ggml.token_type', isNumber);
  checkLength('tokenizer.ggml.token_type', types, tokens);
  return { tokens, types };
}

/** Own properties whatever the token is called, `__proto__` included. */
function vocabularyObject(tokens: readonly string[]): JsonRecord {
  const vocabulary = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const distinctCount = Object.keys(vocabulary).length;
  if (distinctCount !== tokens.length) refuseTokenizer(`tokenizer.ggml.tokens holds ${tokens.length - distinctCount} tokens twice`);
  return vocabulary;
}

function addedTokens({ tokens, types }: GgufVocabulary): JsonRecord[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    const special = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
    if (!special && type !== TOKEN_TYPE.userDefined) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

/** The space after the first character parts the two tokens: a token may itself begin with one. */
function splitMerge(merge: string): [string, string] {
  const cut = merge.indexOf(' ', 1);
  if (cut < 0 || cut === merge.length - 1)
    refuseTokenizer(`tokenizer.ggml.merges holds ${JSON.stringify(merge)}; expected two tokens and a space`);
  return [merge.slice(0, cut), merge.slice(cut + 1)];
}

function specialTokens(metadata: GgufMetadata, addBosByDefault: boolean): Omit<TokenizerDefinition, 'tokenizerJson'> {
  const eosTokenId = readId(metadata, 'tokenizer.ggml.eos_token_id');
  if (eosTokenId === undefined) refuseTokenizer('the GGUF file has no tokenizer.ggml.eos_token_id');
  const bosTokenId = readId(metadata, 'tokenizer.ggml.bos_token_id') ?? null;
  const addBos = readFlag(metadata, 'tokenizer.ggml.add_bos_token') ?? addBosByDefault;
  return { eosTokenId, bosTokenId, addBos: addBos && bosTokenId !== null };
}

function readList<T>(metadata: GgufMetadata, key: string, isItem: (value: unknown) => value is T): T[] {
  const list = metadata.get(key);
  if (!Array.isArray(list) && !ArrayBuffer.isView(list)) refuseTokenizer(`the GGUF file has no list ${key}`);
  const items: unknown[] = Array.from(list as Iterable<unknown>);
  if (!items.every(isItem)) refuseTokenizer(`the list ${key} holds values of the wrong type`);
  return items;
}

function checkLength(key: string, list: readonly unknown[], tokens: readonly unknown[]): void {
  if (list.length !== tokens.length) refuseTokenizer(`${key} has ${list.length} entries for ${tokens.length} tokens`);
}

function readId(metadata: GgufMetadata, key: string): number | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (!isNumber(value)) refuseTokenizer(`${key} is ${shown(value)}; expected a token id`);
  return value;
}

function readFlag(metadata: GgufMetadata, key: string): boolean | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (typeof value !== 'boolean') refuseTokenizer(`${key} is ${shown(value)}; expected true or false`);
  return value;
}

/** JSON has no form for the bigints that a file may hold. */
function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}
