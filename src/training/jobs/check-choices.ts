// What single fields cannot say: whether a job's hyperparameters fit each other, the base and this server. Pure.
import { AppError } from '../../core/index.ts';
import type { Hyperparameters, LoraSpec } from '../hyperparameters.ts';

/** A place of the base that a job may train. */
export interface TrainableSite {
  readonly module: string;
  readonly kind: 'linear' | 'embedding' | 'head';
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export interface ChoiceLimits {
  readonly sites: readonly TrainableSite[];
  readonly maxContext: number;
  /** Largest rank of an adapter that this server takes. */
  readonly maxRank: number;
  readonly maxSteps: number;
}

export interface ChoiceContext {
  /** Where the choices stand in the request: `method.supervised.hyperparameters`. */
  readonly path: string;
  readonly hasValidationFile: boolean;
}

const ALL_LINEAR = 'all-linear';

/** @throws AppError `invalid_request` with the field's path in `param`. */
export function checkHyperparameters(chosen: Hyperparameters, limits: ChoiceLimits, { path, hasValidationFile }: ChoiceContext): void {
  const refuse = refusalAt(path);
  if (chosen.maxSteps !== null && chosen.maxSteps > limits.maxSteps)
    throw refuse('max_steps', chosen.maxSteps, `at most ${limits.maxSteps}, this server's limit (trainingMaxSteps)`);
  if (chosen.maxSeqLength > limits.maxContext)
    throw refuse('max_seq_length', chosen.maxSeqLength, `at most ${limits.maxContext}, the context of the base model`);
  if (chosen.earlyStoppingPatience > 0 && !hasValidationFile)
    throw refuse('early_stopping_patience', chosen.earlyStoppingPatience, 'it beside a "validation_file" only');
  if (chosen.publish === 'best' && !hasValidationFile) throw refuse('publish', chosen.publish, '"best" beside a "validation_file" only');
  checkLora(chosen.lora, limits, refusalAt(`${path}.lora`));
  checkRecompression(chosen, refuse);
  if (publishedRank(chosen) > limits.maxRank)
    throw refusalAt(`${path}.lora`)(
      'r',
      chosen.lora.r,
      `a published rank of at most ${limits.maxRank}, this server's limit (adapterMaxRank); ${chosen.lora.init} publishes rank ${publishedRank(chosen)}`,
    );
}

/** Steps of a job that is bounded by epochs, known once its rows are. @throws AppError `invalid_request` for more than the server allows. */
export function checkStepCount(chosen: Hyperparameters, rowCount: number, maxSteps: number, path: string): void {
  if (chosen.maxSteps !== null) return;
  const steps = Math.ceil(rowCount / (chosen.batchSize * chosen.gradientAccumulation)) * chosen.epochs;
  if (steps <= maxSteps) return;
  const expected = `fewer epochs, or max_steps: ${rowCount} rows make ${steps} steps, this server allows ${maxSteps} (trainingMaxSteps)`;
  throw refusalAt(path)('n_epochs', chosen.epochs, expected);
}

type Refuse = (field: string, got: unknown, expected: string) => AppError;

function refusalAt(path: string): Refuse {
  return (field, got, expected) =>
    new AppError('invalid_request', `"${path}.${field}": got ${JSON.stringify(got)}, expected ${expected}`, { param: `${path}.${field}` });
}

/** An init that would change the base is published as s(BA - B0A0), which has twice the rank. */
function changesBase({ init }: LoraSpec): boolean {
  return init === 'pissa' || init === 'lora_ga';
}

function publishedRank({ lora, recompressRank }: Hyperparameters): number {
  const largest = Math.max(lora.r, ...Object.values(lora.rankPattern));
  return recompressRank ?? (changesBase(lora) ? 2 * largest : largest);
}

function checkRecompression({ recompressRank, lora }: Hyperparameters, refuse: Refuse): void {
  if (recompressRank === null) return;
  if (!changesBase(lora)) throw refuse('recompress_rank', recompressRank, 'it beside "lora.init" pissa or lora_ga only');
  if (recompressRank > 2 * lora.r) throw refuse('recompress_rank', recompressRank, `at most twice "lora.r", which is ${2 * lora.r}`);
}

function checkLora(lora: LoraSpec, limits: ChoiceLimits, refuse: Refuse): void {
  const sites = trainedSites(lora, limits, refuse);
  const ranks = [lora.r, ...Object.values(lora.rankPattern)];
  for (const [suffix, rank] of Object.entries(lora.rankPattern)) {
    if (!sites.some(({ module }) => module === suffix || module.endsWith(`.${suffix}`)))
      throw refuse(`rank_pattern.${suffix}`, rank, 'the end of the path of a module that is trained, such as "layers.0.self_attn.q_proj"');
  }
  if (lora.dropout > 0 && sites.some(({ kind }) => kind === 'embedding'))
    throw refuse('dropout', lora.dropout, '0 beside embed_tokens: token ids cannot be dropped');
  if (changesBase(lora)) checkSpectralInit(lora, Math.max(...ranks), sites, refuse);
}

/** PiSSA and LoRA-GA take singular vectors, of which there are no more than the smaller side has; an embedding begins by default beside them. */
function checkSpectralInit(lora: LoraSpec, rank: number, sites: readonly TrainableSite[], refuse: Refuse): void {
  if (lora.init === 'lora_ga' && sites.some(({ kind }) => kind === 'head'))
    throw refuse('init', lora.init, 'another init beside lm_head, whose gradient is not computed');
  if (lora.useDora) throw refuse('use_dora', true, `it without "init" ${lora.init}: DoRA is defined over the unchanged base`);
  const needed = lora.init === 'lora_ga' ? 2 * rank : rank;
  const sides = sites.flatMap(({ kind, inFeatures, outFeatures }) => (kind === 'embedding' ? [] : [inFeatures, outFeatures]));
  const smallest = Math.min(...sides);
  if (needed > smallest)
    throw refuse(
      'r',
      lora.r,
      `at most ${Math.floor((smallest * rank) / needed)} with init ${lora.init}: a trained matrix has a side of ${smallest}`,
    );
}

function trainedSites(lora: LoraSpec, { sites }: ChoiceLimits, refuse: Refuse): readonly TrainableSite[] {
  const { targetModules } = lora;
  if (targetModules.includes(ALL_LINEAR)) {
    if (targetModules.length > 1) throw refuse('target_modules', targetModules, `"${ALL_LINEAR}" alone, or names of modules`);
    return sites.filter(({ kind }) => kind === 'linear');
  }
  const known = [...new Set(sites.map(({ module }) => lastComponent(module)))];
  const unknown = targetModules.find((name) => !known.includes(name));
  if (unknown !== undefined) throw refuse('target_modules', unknown, `"${ALL_LINEAR}", or some of ${known.join(', ')}`);
  return sites.filter(({ module }) => targetModules.includes(lastComponent(module)));
}

function lastComponent(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1);
}
