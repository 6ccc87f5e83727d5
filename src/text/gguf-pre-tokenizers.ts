// The pre-tokenizers that GGUF names in `tokenizer.ggml.pre`, as tokenizer.json pipelines. Patterns: the models' own tokenizer.json files, as quoted
// beside llama.cpp's table (src/llama-vocab.cpp). A name stands here only when its pipeline is known to be the model's own; others are refused.
import type { JsonRecord } from './json.ts';

export interface GgufPreTokenizer {
  readonly preTokenizer: JsonRecord;
  readonly normalizer: JsonRecord | null;
  /** A word that is a token as a whole is taken without merging. */
  readonly ignoreMerges: boolean;
  /** Whether BOS comes before plain text when the file does not say. */
  readonly addBos: boolean;
}

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const BYTE_LEVEL_WORDS = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

const LLAMA3_WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const QWEN2_WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const TEKKEN_WORDS = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const split = (regex: string): JsonRecord => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });
const sequence = (...pretokenizers: readonly JsonRecord[]): JsonRecord => ({ type: 'Sequence', pretokenizers });

const gpt2: GgufPreTokenizer = { preTokenizer: BYTE_LEVEL_WORDS, normalizer: null, ignoreMerges: false, addBos: false };

const smollm: GgufPreTokenizer = { ...gpt2, preTokenizer: sequence({ type: 'Digits', individual_digits: true }, BYTE_LEVEL_WORDS) };

const llama3: GgufPreTokenizer = {
  preTokenizer: sequence(split(LLAMA3_WORDS), BYTE_LEVEL),
  normalizer: null,
  ignoreMerges: true,
  addBos: true,
};

const qwen2: GgufPreTokenizer = {
  preTokenizer: sequence(split(QWEN2_WORDS), BYTE_LEVEL),
  normalizer: { type: 'NFC' },
  ignoreMerges: false,
  addBos: false,
};

const tekken: GgufPreTokenizer = { ...llama3, preTokenizer: sequence(split(TEKKEN_WORDS), BYTE_LEVEL) };

/** Files older than the key, and those whose converter did not know the model: llama.cpp then splits as Falcon does. */
const unnamed: GgufPreTokenizer = {
  ...gpt2,
  preTokenizer: sequence(
    split(String.raw`[\p{P}$+<=>^~|]+`),
    BYTE_LEVEL_WORDS,
    { type: 'Digits', individual_digits: false },
    split('[0-9][0-9][0-9]'),
  ),
};

export const GGUF_PRE_TOKENIZERS: ReadonlyMap<string, GgufPreTokenizer> = new Map([
  ['default', unnamed],
  ['gpt-2', gpt2],
  ['phi-2', gpt2],
  ['exaone4', gpt2],
  ['smollm', smollm],
  ['starcoder', smollm],
  ['refact', smollm],
  ['codeshell', smollm],
  ['minerva-7b', smollm],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['llama-bpe', llama3],
  ['smaug-bpe', { ...llama3, ignoreMerges: false, addBos: false }],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['tekken', tekken],
]);
