// What a tokenizer is made from: a tokenizer.json and the model's conventions about its special tokens. Checked here, once, by name:
// what the encoder cannot do exactly is refused instead of being approximated. Knows no file and no GGUF.
import { AppError } from '../core/index.ts';
import { isRecord, type JsonRecord } from './json.ts';

/** Serialisable: `tokenizerJson` is what stands in the model package as tokenizer.json. */
export interface TokenizerDefinition {
  /** A parsed tokenizer.json, in Hugging Face's format, with a BPE model. */
  readonly tokenizerJson: JsonRecord;
  readonly eosTokenId: number;
  readonly bosTokenId: number | null;
  /** Whether the model's own convention puts BOS before plain text. */
  readonly addBos: boolean;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** The parts of a tokenizer.json that tokenizing needs, checked. */
export interface CheckedTokenizer {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly addedTokens: readonly AddedToken[];
  readonly vocabularySize: number;
  readonly model: JsonRecord;
  /** In the order of their ranks. */
  readonly merges: readonly (readonly [string, string])[];
  readonly normalizer: JsonRecord | null;
  readonly preTokenizer: JsonRecord | null;
  readonly decoder: JsonRecord | null;
  readonly addedTokenRecords: readonly JsonRecord[];
}

const MAX_TOKEN_ID = 4_194_303;

export function refuseTokenizer(problem: string): never {
  throw new AppError('invalid_request', `The tokenizer cannot be used: ${problem}`);
}

/** Throws AppError invalid_request that names the part which is missing, broken or not supported. */
export function checkTokenizer(definition: TokenizerDefinition): CheckedTokenizer {
  const json = definition.tokenizerJson;
  const model = json['model'];
  if (!isRecord(model)) refuseTokenizer('tokenizer.json has no "model" object');
  checkModel(model);
  const vocabulary = readVocabulary(model['vocab']);
  const unknown = model['unk_token'];
  if (typeof unknown === 'string' && !vocabulary.has(unknown))
    refuseTokenizer(`model.unk_token ${JSON.stringify(unknown)} is not in its vocabulary`);
  const addedTokenRecords = readAddedTokenRecords(json['added_tokens']);
  const addedTokens = addedTokenRecords.map(readAddedToken);
  let largestId = -1;
  for (const id of vocabulary.values()) largestId = Math.max(largestId, id);
  for (const { id } of addedTokens) largestId = Math.max(largestId, id);
  const vocabularySize = largestId + 1;
  checkTokenId('eosTokenId', definition.eosTokenId, vocabularySize);
  if (definition.bosTokenId !== null) checkTokenId('bosTokenId', definition.bosTokenId, vocabularySize);
  return {
    vocabulary,
    addedTokens,
    vocabularySize,
    model,
    merges: readMerges(model['merges']),
    normalizer: readPart(json, 'normalizer'),
    preTokenizer: readPart(json, 'pre_tokenizer'),
    decoder: readPart(json, 'decoder'),
    addedTokenRecords,
  };
}

function checkModel(model: JsonRecord): void {
  if (model['type'] !== undefined && model['type'] !== 'BPE') {
    refuseTokenizer(`its model is of type ${JSON.stringify(model['type'])}; supported is "BPE"`);
  }
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (typeof model[key] === 'string' && model[key] !== '') refuseTokenizer(`model.${key} ${JSON.stringify(model[key])} is not supported`);
  }
}

/** Pairs of tokens, or in older files both in one string with a space between them. */
function readMerges(merges: unknown): [string, string][] {
  if (!Array.isArray(merges)) refuseTokenizer('model.merges must be a list');
  return (merges as readonly unknown[]).map((merge) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    const [left, right, ...more] = (Array.isArray(parts) ? parts : []) as readonly unknown[];
    if (typeof left !== 'string' || typeof right !== 'string' || more.length > 0) {
      refuseTokenizer(`model.merges holds ${JSON.stringify(merge)}; expected pairs of tokens`);
    }
    return [left, right];
  });
}

function readVocabulary(vocabulary: unknown): Map<string, number> {
  if (!isRecord(vocabulary)) refuseTokenizer('model.vocab must be an object of token to id');
  const ids = new Map<string, number>();
  const seen = new Set<number>();
  for (const [token, id] of Object.entries(vocabulary)) {
    if (!isTokenId(id)) refuseTokenizer(`model.vocab gives token ${JSON.stringify(token)} the id ${JSON.stringify(id)}`);
    if (seen.has(id)) refuseTokenizer(`model.vocab uses id ${id} twice`);
    seen.add(id);
    ids.set(token, id);
  }
  if (ids.size === 0) refuseTokenizer('model.vocab is empty');
  return ids;
}

function readAddedTokenRecords(list: unknown): JsonRecord[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) refuseTokenizer('added_tokens must be a list');
  return (list as readonly unknown[]).map((record) => {
    if (!isRecord(record)) refuseTokenizer('added_tokens holds something that is not an object');
    return record;
  });
}

function readAddedToken(record: JsonRecord): AddedToken {
  const { id, content } = record;
  if (!isTokenId(id)) refuseTokenizer(`an added token has the id ${JSON.stringify(id)}`);
  if (typeof content !== 'string' || content === '') refuseTokenizer(`added token ${id} has no text`);
  if (record['single_word'] === true) refuseTokenizer(`added token ${JSON.stringify(content)} has single_word, which is not supported`);
  return { id, content, special: record['special'] === true };
}

function readPart(json: JsonRecord, key: string): JsonRecord | null {
  const part = json[key];
  if (part === undefined || part === null) return null;
  if (!isRecord(part) || typeof part['type'] !== 'string') refuseTokenizer(`${key} must be an object with a "type"`);
  return part;
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_TOKEN_ID;
}

function checkTokenId(name: string, id: number, vocabularySize: number): void {
  if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) {
    refuseTokenizer(`${name} is ${id}; the vocabulary has the ids 0 to ${vocabularySize - 1}`);
  }
}
