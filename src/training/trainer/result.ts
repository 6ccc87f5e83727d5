// `result/` of a finished job: PEFT's two files, the loss curve as data and as a picture, and what is to be known of them. Written once, whole.
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobResult, StepMetrics } from '../messages.ts';
import type { AdapterFiles } from './adapter/write-adapter.ts';
import { lossCurve } from './curve/loss-curve.ts';
import { removeUnfinished, writeFolder } from './state/durable.ts';

const RESULT_FOLDER = 'result';
/** What an attempt that comes too late tells again. */
const RESULT_FILE = 'result.json';

export interface StoredResult {
  readonly result: JobResult;
  /** One a step. */
  readonly curve: readonly StepMetrics[];
}

/** The result that an attempt before this one wrote; null: there is none yet. */
export async function readResult(jobFolder: string): Promise<StoredResult | null> {
  await mkdir(jobFolder, { recursive: true });
  await removeUnfinished(jobFolder);
  const path = join(jobFolder, RESULT_FOLDER, RESULT_FILE);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere ? (JSON.parse(await readFile(path, 'utf8')) as StoredResult) : null;
}

/** Durable when it resolves. Two runs of a job write the same bytes, but for the speeds in `result.json`. */
export async function writeResult(jobFolder: string, { config, tensors }: AdapterFiles, { result, curve }: StoredResult): Promise<void> {
  const files = new Map<string, Uint8Array>([
    ['adapter_config.json', config],
    ['adapter_model.safetensors', tensors],
    ['loss.json', Buffer.from(`${JSON.stringify(curve.map(curveRecord), null, 1)}\n`)],
    ['loss.svg', Buffer.from(lossCurve(curve))],
    [RESULT_FILE, Buffer.from(`${JSON.stringify({ result, curve })}\n`)],
  ]);
  await writeFolder(join(jobFolder, RESULT_FOLDER), files);
}

/** As metrics events spell it. */
function curveRecord({ step, trainLoss, learningRate, gradNorm, supervisedTokens, validLoss }: StepMetrics): Record<string, number> {
  return {
    step,
    train_loss: trainLoss,
    learning_rate: learningRate,
    grad_norm: gradNorm,
    supervised_tokens: supervisedTokens,
    ...(validLoss !== undefined && { valid_loss: validLoss }),
  };
}
