// The small files of a baked model: config.json, tokenizer and generation settings, as the base had them or made from what its GGUF file says.
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaConfigToHuggingFace, type ModelPackage } from '../../models/index.ts';

type Json = Readonly<Record<string, unknown>>;

export interface BakedChanges {
  /** Of all weights, as Hugging Face names it: float32, float16 or bfloat16. */
  readonly dtype: string;
  /** Embedding and head are two weights now. */
  readonly untied: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

/** Files beside config.json and the weights that a base in Hugging Face layout may have. */
const COMPANIONS = ['generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja'];

/** The base's config.json, or one made for it. @throws AppError `usage` when a GGUF file scales rope in a way that config.json cannot say. */
export async function baseConfig(model: ModelPackage): Promise<Json> {
  if (model.record.sourceKind === 'huggingface') {
    return JSON.parse(await readFile(join(model.folder, 'source', 'config.json'), 'utf8')) as Json;
  }
  const { bosTokenId } = model.tokenizer;
  return { ...llamaConfigToHuggingFace(model.config), bos_token_id: bosTokenId, eos_token_id: oneOrList(model.description.stopTokenIds) };
}

/** Writes them into the folder; answers their names. */
export async function writeCompanions(model: ModelPackage, folder: string, base: Json, changes: BakedChanges): Promise<readonly string[]> {
  const { torch_dtype: _older, ...rest } = base;
  await writeJson(folder, 'config.json', {
    ...rest,
    // Older transformers read the one, newer ones the other.
    torch_dtype: changes.dtype,
    dtype: changes.dtype,
    ...(changes.untied && { tie_word_embeddings: false }),
    ...(changes.attentionBias && { attention_bias: true }),
    ...(changes.mlpBias && { mlp_bias: true }),
  });
  return [
    'config.json',
    ...(model.record.sourceKind === 'huggingface' ? await copyCompanions(model, folder) : await makeCompanions(model, folder)),
  ];
}

async function copyCompanions({ folder: source, record }: ModelPackage, folder: string): Promise<readonly string[]> {
  const present = record.sourceFiles.map(({ name }) => name).filter((name) => COMPANIONS.includes(name));
  for (const name of present) await copyFile(join(source, 'source', name), join(folder, name));
  return present;
}

async function makeCompanions({ tokenizer, chatTemplate, description }: ModelPackage, folder: string): Promise<readonly string[]> {
  const { tokenizerJson, bosTokenId, eosTokenId, addBos } = tokenizer;
  await writeJson(folder, 'tokenizer.json', tokenizerJson);
  await writeJson(folder, 'tokenizer_config.json', {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: description.maxContext,
    bos_token: bosTokenId === null ? null : tokenText(tokenizerJson, bosTokenId),
    eos_token: tokenText(tokenizerJson, eosTokenId),
    add_bos_token: addBos,
    clean_up_tokenization_spaces: false,
    ...(chatTemplate !== null && { chat_template: chatTemplate }),
  });
  await writeJson(folder, 'generation_config.json', { bos_token_id: bosTokenId, eos_token_id: oneOrList(description.stopTokenIds) });
  return ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'];
}

async function writeJson(folder: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
}

function oneOrList(ids: readonly number[]): number | readonly number[] {
  return ids.length === 1 ? (ids[0] ?? 0) : ids;
}

/** As tokenizer.json writes the token: an added one, or one of the vocabulary. */
function tokenText(tokenizerJson: Json, id: number): string | null {
  const { added_tokens: added, model } = tokenizerJson as { added_tokens?: unknown; model?: { vocab?: unknown } };
  const records = Array.isArray(added) ? (added as readonly { id?: unknown; content?: unknown }[]) : [];
  const content = records.find((record) => record.id === id)?.content;
  if (typeof content === 'string') return content;
  return Object.entries(model?.vocab ?? {}).find(([, own]) => own === id)?.[0] ?? null;
}
