// The base model as the front needs it: opened and compiled for the wanted precision, then with tokenizer and chat template. Loads no ONNX Runtime.
import { join } from 'node:path';
import type { Settings } from '../config/index.ts';
import { AppError, type Logger } from '../core/index.ts';
import type { ServedBase } from '../http/index.ts';
import { formsOf, openModelPackage, prepareForms, type ModelPackage, type PrepareProgress, type ServingForms } from '../models/index.ts';
import { chatTemplate, createTokenizer, type ChatTemplate, type Tokenizer } from '../text/index.ts';
import { childCalibrator } from './calibrator.ts';

export interface FrontBase {
  readonly model: ModelPackage;
  readonly forms: ServingForms;
  readonly maxContext: number;
  readonly device: 'cpu';
}

/** @throws AppError `usage` with the next step when the model is not imported or a setting asks for what this build cannot do. */
export async function openFrontBase(settings: Settings, logger: Logger): Promise<FrontBase> {
  const device = servedDevice(settings);
  const model = await openModelPackage(join(settings.modelsDir, settings.model));
  const maxContext = servedContext(settings, model);
  const forms = formsOf(model, settings);
  await prepareForms(model, forms, { calibrate: childCalibrator(settings), onProgress: prepareProgress(logger, settings.model) });
  return { model, forms, maxContext, device };
}

/** The base as the routes see it. Making its tokenizer takes a while, which the engine can use to start. */
export function serveBase({ model, forms, maxContext, device }: FrontBase): ServedBase {
  const tokenizer = createTokenizer(model.tokenizer);
  const { id, digest, vocabularySize, stopTokenIds, createdAtMs } = model.description;
  return {
    id,
    digest,
    vocabularySize,
    maxContext,
    stopTokenIds,
    createdAtMs,
    tokenizer,
    chatTemplate: frontChatTemplate(model, tokenizer),
    precision: forms.decode,
    device,
  };
}

function servedDevice({ device }: Settings): 'cpu' {
  if (device === 'auto' || device === 'cpu') return 'cpu';
  throw new AppError('usage', `device: got "${device}", which this build cannot run yet; expected auto or cpu`, { param: 'device' });
}

function servedContext({ maxContext }: Settings, model: ModelPackage): number {
  const limit = model.description.maxContext;
  if (maxContext !== null && maxContext > limit) {
    throw new AppError('usage', `maxContext: got ${maxContext}, expected at most ${limit}, the limit of ${model.description.id}`, {
      param: 'maxContext',
    });
  }
  return maxContext ?? limit;
}

/** Preparing takes a while on a first start only; a line a tenth shows that it goes on. */
function prepareProgress(logger: Logger, model: string): (progress: PrepareProgress) => void {
  let shown = '';
  return ({ stage, done, total }) => {
    const percent = Math.floor((10 * done) / Math.max(total, 1)) * 10;
    if (shown === `${stage} ${percent}`) return;
    shown = `${stage} ${percent}`;
    logger.info({ model, stage, percent }, 'preparing the base model');
  };
}

function frontChatTemplate(model: ModelPackage, tokenizer: Tokenizer): ChatTemplate | null {
  if (model.chatTemplate === null) return null;
  const written = (tokenId: number | null): string | null =>
    tokenId === null ? null : new TextDecoder().decode(tokenizer.tokenBytes(tokenId));
  return chatTemplate(model.chatTemplate, { bos: written(tokenizer.bosTokenId), eos: written(tokenizer.eosTokenId) });
}
