// Rewrites the normalizer and pre-tokenizer of a tokenizer.json into forms on which @huggingface/tokenizers does exactly what the Rust
// tokenizers do; a form without an exact equivalent is refused by name. Each rewrite says where the library differs (0.2.0).
import { isRecord, type JsonRecord } from './json.ts';
import { refuseTokenizer } from './tokenizer-definition.ts';

/** GPT-2's own split. The library writes it with JavaScript's \s, which has U+FEFF and lacks U+0085; in a Split, \s is Unicode's White_Space. */
const GPT2_SPLIT = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const ASCII_PUNCTUATION = String.raw`!-/:-@\[-` + '`{-~';

const KNOWN_NORMALIZERS = new Set(['Sequence', 'Prepend', 'Replace', 'NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase']);

/** @returns the same normalizer, once every step of it is known to be exact. */
export function exactNormalizer(normalizer: JsonRecord | null): JsonRecord | null {
  if (normalizer === null) return null;
  const type = typeName(normalizer, 'normalizer');
  if (!KNOWN_NORMALIZERS.has(type)) refuseTokenizer(`normalizer ${JSON.stringify(type)} is not supported`);
  if (type !== 'Sequence') return normalizer;
  return { type, normalizers: readSteps(normalizer['normalizers'], 'normalizers').map((step) => exactNormalizer(step)) };
}

export function exactPreTokenizer(preTokenizer: JsonRecord | null): JsonRecord | null {
  if (preTokenizer === null) return null;
  const steps = exactSteps(preTokenizer);
  return { type: 'Sequence', pretokenizers: steps };
}

function exactSteps(step: JsonRecord): JsonRecord[] {
  const type = typeName(step, 'pre_tokenizer');
  switch (type) {
    case 'Sequence':
      return readSteps(step['pretokenizers'], 'pretokenizers').flatMap((inner) => exactSteps(inner));
    case 'ByteLevel':
      return exactByteLevel(step);
    case 'Digits':
      // Rust splits at char::is_numeric, the whole category N; the library at \d, which is 0 to 9 only.
      return [isolated({ Regex: step['individual_digits'] === true ? String.raw`\p{N}` : String.raw`\p{N}+` })];
    case 'Punctuation':
      return [exactPunctuation(step)];
    case 'Split':
      return [exactSplit(step)];
    case 'Metaspace':
      return exactMetaspace(step);
    case 'WhitespaceSplit':
      return [{ type: 'Split', pattern: { Regex: String.raw`\s+` }, behavior: 'Removed', invert: false }];
    default:
      return refuseTokenizer(`pre_tokenizer ${JSON.stringify(type)} is not supported`);
  }
}

function exactByteLevel(step: JsonRecord): JsonRecord[] {
  if (step['add_prefix_space'] === true) refuseTokenizer('pre_tokenizer ByteLevel with add_prefix_space is not supported');
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return step['use_regex'] === false ? [bytes] : [isolated({ Regex: GPT2_SPLIT }), bytes];
}

/** The library takes runs of punctuation whatever the behaviour; Rust's default takes single characters. */
function exactPunctuation(step: JsonRecord): JsonRecord {
  const behavior = step['behavior'] ?? 'Isolated';
  const character = String.raw`[\p{P}${ASCII_PUNCTUATION}]`;
  if (behavior === 'Isolated') return isolated({ Regex: character });
  if (behavior === 'Contiguous') return isolated({ Regex: `${character}+` });
  return refuseTokenizer(`pre_tokenizer Punctuation with behavior ${JSON.stringify(behavior)} is not supported`);
}

function exactSplit(step: JsonRecord): JsonRecord {
  const { behavior, pattern } = step;
  if (!isRecord(pattern) || (typeof pattern['Regex'] !== 'string' && typeof pattern['String'] !== 'string')) {
    refuseTokenizer('pre_tokenizer Split needs a pattern with "Regex" or "String"');
  }
  const exactPattern = typeof pattern['Regex'] === 'string' ? { Regex: foldContractions(pattern['Regex']) } : pattern;
  // Isolated keeps matches and gaps alike, so inverting it changes nothing; the library would drop the gaps.
  if (behavior === 'Isolated') return isolated(exactPattern);
  if (behavior === 'Removed') return { type: 'Split', pattern: exactPattern, behavior, invert: step['invert'] === true };
  return refuseTokenizer(`pre_tokenizer Split with behavior ${JSON.stringify(behavior)} is not supported`);
}

/** Oniguruma's (?i:'s) also matches the long s, U+017F; the library folds ASCII only. */
function foldContractions(regex: string): string {
  return regex
    .replaceAll("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS\u017F]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
    .replaceAll("'(?i:[sdmt]|ll|ve|re)", "'(?:[sS\u017FdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])");
}

/** Rust also splits before every replacement character unless told not to; the library never does. */
function exactMetaspace(step: JsonRecord): JsonRecord[] {
  const replacement = step['replacement'] ?? '\u2581';
  if (replacement !== '\u2581') refuseTokenizer(`pre_tokenizer Metaspace with replacement ${JSON.stringify(replacement)} is not supported`);
  const prependScheme = step['prepend_scheme'] ?? (step['add_prefix_space'] === false ? 'never' : 'always');
  const metaspace = { type: 'Metaspace', replacement, prepend_scheme: prependScheme };
  if (step['split'] === false) return [metaspace];
  return [metaspace, isolated({ Regex: '\u2581[^\u2581]*|[^\u2581]+' })];
}

function isolated(pattern: JsonRecord): JsonRecord {
  return { type: 'Split', pattern, behavior: 'Isolated', invert: false };
}

function readSteps(list: unknown, key: string): JsonRecord[] {
  if (!Array.isArray(list)) refuseTokenizer(`${key} must be a list`);
  return (list as readonly unknown[]).map((step) => {
    if (!isRecord(step)) refuseTokenizer(`${key} holds something that is not an object`);
    return step;
  });
}

function typeName(step: JsonRecord, part: string): string {
  const type = step['type'];
  if (typeof type !== 'string') refuseTokenizer(`a ${part} has no type`);
  return type;
}
