// What a job that continues from an adapter takes over from it: shape and scale are the adapter's, and a request cannot ask for others.
import { AppError } from '../../core/index.ts';
import { parseAdapterConfig, type PeftLoraConfig } from '../../formats/index.ts';
import type { HyperparameterChoices } from '../defaults.ts';
import type { LoraSpec } from '../hyperparameters.ts';

type Shape = Pick<LoraSpec, 'r' | 'alpha' | 'targetModules' | 'useRslora' | 'useDora' | 'rankPattern' | 'init'>;

/**
 * @param targetModules - last components of the modules that the adapter changes.
 * @returns the choices with the adapter's own shape.
 * @throws AppError `unsupported_adapter` for what cannot be trained on, `invalid_request` for a choice that the adapter has made otherwise.
 */
export function continuedChoices(
  choices: HyperparameterChoices,
  adapter: { readonly config: Uint8Array; readonly targetModules: readonly string[] },
  path: string,
): HyperparameterChoices {
  const config = parseAdapterConfig(new TextDecoder().decode(adapter.config));
  requireTrainable(config);
  const shape: Shape = {
    r: config.rank,
    alpha: config.alpha,
    targetModules: adapter.targetModules,
    useRslora: config.useRslora,
    useDora: config.useDora,
    rankPattern: Object.fromEntries(config.rankPattern),
    init: 'default',
  };
  refuseOtherShape(choices.lora ?? {}, shape, path);
  return { ...choices, lora: { ...choices.lora, ...shape } };
}

function requireTrainable(config: PeftLoraConfig): void {
  const obstacles: readonly (readonly [boolean, string])[] = [
    [config.alphaPattern.size > 0, 'alpha_pattern'],
    [config.loraBias, 'lora_bias'],
    [config.bias !== 'none', 'bias'],
    [config.modulesToSave.length > 0, 'modules_to_save'],
    [config.tokenRows !== null, 'trainable_token_indices'],
    [config.layersToTransform !== null, 'layers_to_transform'],
  ];
  const found = obstacles.find(([isThere]) => isThere)?.[1];
  if (found === undefined) return;
  throw new AppError('unsupported_adapter', `"model": the adapter has ${found}, which training cannot continue from`, { param: 'model' });
}

const FIELD_NAMES: Readonly<Record<keyof Shape, string>> = {
  r: 'r',
  alpha: 'alpha',
  targetModules: 'target_modules',
  useRslora: 'use_rslora',
  useDora: 'use_dora',
  rankPattern: 'rank_pattern',
  init: 'init',
};

function refuseOtherShape(asked: Partial<LoraSpec>, shape: Shape, path: string): void {
  for (const [key, field] of Object.entries(FIELD_NAMES) as [keyof Shape, string][]) {
    const [wanted, present] = [asked[key], shape[key]].map((value) => comparable(value));
    if (asked[key] === undefined || wanted === present) continue;
    const param = `${path}.lora.${field}`;
    throw new AppError(
      'invalid_request',
      `"${param}": got ${JSON.stringify(asked[key])}, expected nothing or ${JSON.stringify(shape[key])}, as the adapter that the job continues from`,
      { param },
    );
  }
}

function comparable(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
  const entries = Array.isArray(value) ? value : Object.entries(value);
  return JSON.stringify(entries.map((entry) => JSON.stringify(entry)).toSorted());
}
