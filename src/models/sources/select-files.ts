// Which files of a hub repository make a base model: the configuration, the tokenizer and one set of safetensors, or the one GGUF that was asked for.
import { AppError } from '../../core/index.ts';
import type { HubFile } from './hub.ts';

const NEEDED = ['config.json', 'tokenizer.json'];
const WANTED = ['tokenizer_config.json', 'generation_config.json', 'special_tokens_map.json', 'chat_template.jinja'];
const WHOLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SHARD = /^model-\d{5}-of-(?<count>\d{5})\.safetensors$/;

/** @throws AppError usage that says what the repository lacks and what may be asked for instead. */
export function selectModelFiles(repository: string, files: readonly HubFile[], ggufFile: string | null): HubFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  if (ggufFile !== null) {
    const file = byPath.get(ggufFile);
    if (file === undefined) throw new AppError('usage', `${repository} has no file ${ggufFile}. ${ggufAdvice(repository, files)}`);
    return [file];
  }
  const missing = NEEDED.filter((path) => !byPath.has(path));
  const weights = selectWeights(byPath);
  if (weights.length === 0) missing.push(WHOLE);
  if (missing.length > 0) throw new AppError('usage', `${repository} has no ${missing.join(', no ')}. ${ggufAdvice(repository, files)}`);
  const small = [...NEEDED, ...WANTED].flatMap((path) => byPath.get(path) ?? []);
  return [...small, ...weights];
}

function selectWeights(byPath: ReadonlyMap<string, HubFile>): HubFile[] {
  const whole = byPath.get(WHOLE);
  if (whole !== undefined) return [whole];
  const index = byPath.get(INDEX);
  const shards = [...byPath.values()].filter((file) => SHARD.test(file.path)).toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const count = Number(SHARD.exec(shards[0]?.path ?? '')?.groups?.['count']);
  return index !== undefined && shards.length === count ? [index, ...shards] : [];
}

function ggufAdvice(repository: string, files: readonly HubFile[]): string {
  const names = files.map((file) => file.path).filter((path) => /^\w[\w.-]{0,199}\.gguf$/.test(path));
  const [first] = names;
  if (first === undefined) return 'It needs config.json, tokenizer.json and model*.safetensors at its top level.';
  return `It has ${names.slice(0, 8).join(', ')}${names.length > 8 ? ` and ${names.length - 8} more` : ''}: pull ${repository}:${first} takes one.`;
}
