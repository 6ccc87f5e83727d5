// Hyperparameters as options: the common ones by name, every other as --set name=value. What is allowed is the server's to say.
import { type Command, Option } from 'commander';
import { AppError } from '../../core/index.ts';

export interface HyperparameterOptions {
  readonly epochs?: string;
  readonly maxSteps?: string;
  readonly batchSize?: string;
  readonly learningRate?: string;
  readonly rank?: string;
  readonly targets?: string;
  readonly set?: readonly string[];
}

/** Option → field of the request; a dot leads into `lora`. */
const FIELDS: readonly (readonly [option: Exclude<keyof HyperparameterOptions, 'set'>, field: string])[] = [
  ['epochs', 'n_epochs'],
  ['maxSteps', 'max_steps'],
  ['batchSize', 'batch_size'],
  ['learningRate', 'learning_rate'],
  ['rank', 'lora.r'],
  ['targets', 'lora.target_modules'],
];

export function addHyperparameters(command: Command): Command {
  return command
    .option('--epochs <count>', 'times that every row is read')
    .option('--max-steps <count>', 'optimizer steps; wins over --epochs')
    .option('--batch-size <rows>', 'rows of a step')
    .option('--learning-rate <rate>', 'largest learning rate')
    .option('--rank <r>', 'rank of the adapter')
    .option('--targets <names>', 'what is trained: names with commas such as q_proj,v_proj, or all-linear')
    .addOption(
      new Option(
        '--set <name=value>',
        'any hyperparameter of the API, such as lora.init=pissa or lr_scheduler=cosine; repeatable',
      ).argParser((text: string, earlier: readonly string[] | undefined) => [...(earlier ?? []), text]),
    );
}

/** As they stand in `method.supervised.hyperparameters`. @throws AppError `usage` for a --set that is not name=value. */
export function hyperparametersOf(options: HyperparameterOptions): Record<string, unknown> {
  const given = FIELDS.flatMap(([option, field]): (readonly [string, string])[] => {
    const value = options[option];
    return value === undefined ? [] : [[field, value]];
  });
  const set = (options.set ?? []).map((text): readonly [string, string] => {
    const [, name, value] = /^([a-z_.]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined)
      throw new AppError('usage', `--set "${text}": expected name=value, such as lora.alpha=32`);
    return [name, value];
  });
  const fields: Record<string, unknown> = {};
  const lora: Record<string, unknown> = {};
  for (const [name, value] of [...given, ...set]) {
    if (name.startsWith('lora.')) lora[name.slice('lora.'.length)] = valueOf(name, value);
    else fields[name] = valueOf(name, value);
  }
  return Object.keys(lora).length === 0 ? fields : { ...fields, lora };
}

/** Numbers and truth values are what they look like; the targets are a list but for all-linear. */
function valueOf(name: string, text: string): unknown {
  if (name === 'lora.target_modules') return text === 'all-linear' ? text : text.split(',');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
