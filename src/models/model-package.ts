// An imported base model on disk: its description, tokenizer and original weights. Opening it reads no weights.
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaCheckpointTensors, type LlamaConfig, llamaSites } from '../architectures/index.ts';
import { AppError } from '../core/index.ts';
import type { TokenizerDefinition } from '../text/index.ts';
import { openCheckpoint, readBaseFacts } from './base-source.ts';
import { type Checkpoint, withRecent } from './checkpoint.ts';
import type { BaseModelDescription, BaseWeights } from './description.ts';
import { type PackageRecord, readRecord, RECORD_FILE } from './package-record.ts';

export interface ModelPackage {
  readonly folder: string;
  readonly record: PackageRecord;
  readonly config: LlamaConfig;
  readonly description: BaseModelDescription;
  readonly tokenizer: TokenizerDefinition;
  /** Jinja source; null: the model has none. */
  readonly chatTemplate: string | null;
  readonly weights: BaseWeights;
  openCheckpoint(): Promise<Checkpoint>;
  /** Closes what reading weights has opened. */
  close(): Promise<void>;
}

/** Tensors that a reader may ask for again soon: an embedding by its head, a weight in parts. */
const RECENT_TENSORS = 2;

/** @throws AppError `usage` when nothing (readable) is imported there, `invalid_request` when its source is damaged. */
export async function openModelPackage(folder: string): Promise<ModelPackage> {
  const record = await readRecord(folder);
  const sourceFolder = join(folder, 'source');
  const source = record.sourceKind === 'gguf' ? join(sourceFolder, record.sourceFiles[0]?.name ?? '') : sourceFolder;
  for (const { name } of record.sourceFiles) {
    await access(join(sourceFolder, name)).catch((cause: unknown) => {
      throw new AppError('usage', `the imported model "${record.id}" has lost its file ${name}; import it again`, { cause });
    });
  }
  const facts = await readBaseFacts(record.sourceKind, source);
  const { config } = facts;
  const description: BaseModelDescription = {
    id: record.id,
    digest: record.digest,
    family: 'llama',
    hiddenSize: config.hiddenSize,
    layerCount: config.layerCount,
    vocabularySize: config.vocabularySize,
    maxContext: config.maxContext,
    tiedHead: config.tiedHead,
    sites: llamaSites(config),
    tensors: llamaCheckpointTensors(config),
    stopTokenIds: facts.stopTokenIds,
    createdAtMs: record.createdAtMs,
  };
  const open = async (): Promise<Checkpoint> => withRecent(await openCheckpoint(record.sourceKind, source, config), RECENT_TENSORS);
  return {
    folder,
    record,
    config,
    description,
    tokenizer: facts.tokenizer,
    chatTemplate: facts.chatTemplate,
    ...baseWeights(open, config),
    openCheckpoint: open,
  };
}

/** Original weights over one checkpoint, opened at the first read and kept: parsing a GGUF header takes as long as reading many tensors. */
function baseWeights(open: () => Promise<Checkpoint>, config: LlamaConfig): Pick<ModelPackage, 'weights' | 'close'> {
  let opened: Promise<Checkpoint> | null = null;
  const readTensor = async (name: string): Promise<Float32Array> => {
    opened ??= open().catch((error: unknown) => {
      opened = null;
      throw error;
    });
    return (await (await opened).read(name)).values;
  };
  return {
    weights: {
      readWeight: (module) => readTensor(`${module === 'lm_head' && config.tiedHead ? 'model.embed_tokens' : module}.weight`),
      readTensor,
    },
    async close() {
      const checkpoint = opened;
      opened = null;
      await (await checkpoint)?.close();
    },
  };
}

export interface ListedModel {
  readonly id: string;
  readonly folder: string;
  readonly record: PackageRecord;
}

/** Packages below a models folder, by id. Folders without a readable model.json are passed over. */
export async function listModels(modelsDir: string): Promise<readonly ListedModel[]> {
  const entries = await readdir(modelsDir, { withFileTypes: true }).catch(() => []);
  const models: ListedModel[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue;
    const folder = join(modelsDir, entry.name);
    const present = await access(join(folder, RECORD_FILE)).then(
      () => true,
      () => false,
    );
    const record = present ? await readRecord(folder).catch(() => null) : null;
    if (record && record.id === entry.name) models.push({ id: record.id, folder, record });
  }
  return models.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
