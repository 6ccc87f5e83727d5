// The body of POST /v1/fine_tuning/jobs: OpenAI's fields, and ours among the hyperparameters. Every field has its bounds here; what several fields
// say together is checked behind the port.
import { Type, type Static } from 'typebox';
import { AppError } from '../../../core/index.ts';
import { type HyperparameterChoices, type JobRequest, LORA_INITS, type LoraSpec } from '../../../training/index.ts';
import { LIMITS } from '../../limits.ts';

const orAuto = (minimum: number, maximum: number) =>
  Type.Optional(
    Type.Union([Type.Literal('auto'), Type.Integer({ minimum, maximum })], {
      description: `"auto" or a whole number from ${minimum} to ${maximum}`,
    }),
  );
const whole = (minimum: number, maximum: number) => Type.Optional(Type.Integer({ minimum, maximum }));
const decimal = (minimum: number, maximum: number) => Type.Optional(Type.Number({ minimum, maximum }));
const positive = (maximum: number) => Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum }));
const oneOf = <const Words extends readonly string[]>(...words: Words) =>
  Type.Optional(
    Type.Union(
      words.map((word) => Type.Literal(word as Words[number])),
      { description: words.map((word) => `"${word}"`).join(' or ') },
    ),
  );

const moduleName = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'the last part of a module path, such as "q_proj"' });

const Lora = Type.Object(
  {
    r: whole(1, 4096),
    alpha: positive(65_536),
    target_modules: Type.Optional(
      Type.Union([moduleName, Type.Array(moduleName, { minItems: 1, maxItems: 16, uniqueItems: true })], {
        description: '"all-linear", or a list of 1 to 16 different module names such as "q_proj"',
      }),
    ),
    init: oneOf(...LORA_INITS),
    use_rslora: Type.Optional(Type.Boolean()),
    use_dora: Type.Optional(Type.Boolean()),
    loraplus_lr_ratio: positive(1000),
    dropout: Type.Optional(Type.Number({ minimum: 0, maximum: 0.95 })),
    rank_pattern: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z0-9_.-]{1,128}$' }), Type.Integer({ minimum: 1, maximum: 4096 }), {
        maxProperties: 256,
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
);

const Choices = Type.Object(
  {
    n_epochs: orAuto(1, 1000),
    batch_size: orAuto(1, 256),
    learning_rate_multiplier: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Number({ exclusiveMinimum: 0, maximum: 100 })], {
        description: '"auto" or a number above 0, at most 100',
      }),
    ),
    learning_rate: positive(1),
    max_steps: whole(1, 10_000_000),
    gradient_accumulation: whole(1, 1024),
    lr_scheduler: oneOf('constant', 'linear', 'cosine'),
    warmup_ratio: decimal(0, 1),
    weight_decay: decimal(0, 10),
    max_grad_norm: decimal(0, 1_000_000),
    max_seq_length: whole(2, 1_048_576),
    shuffle: Type.Optional(Type.Boolean()),
    base_precision: oneOf('fp32', 'int8'),
    early_stopping_patience: whole(0, 10_000),
    evaluation_steps: whole(1, 1_000_000),
    publish: oneOf('last', 'best'),
    recompress_rank: whole(1, 4096),
    lora: Type.Optional(Lora),
  },
  { additionalProperties: false, description: "OpenAI's and ours; all may be left out" },
);
type Choices = Static<typeof Choices>;

export const JobBody = Type.Object(
  {
    model: Type.String({ minLength: 1, maxLength: LIMITS.labelCharacters, description: 'The base, or an adapter to continue from' }),
    training_file: Type.String({ minLength: 1, maxLength: 128 }),
    validation_file: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    suffix: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Name of the adapter' })),
    seed: whole(0, 2 ** 32 - 1),
    method: Type.Optional(
      Type.Object(
        {
          type: Type.Literal('supervised'),
          supervised: Type.Optional(Type.Object({ hyperparameters: Type.Optional(Choices) }, { additionalProperties: false })),
        },
        { additionalProperties: false },
      ),
    ),
    hyperparameters: Type.Optional(Choices),
    integrations: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 0, description: 'nothing: there are no integrations' })),
    metadata: Type.Optional(
      Type.Record(Type.String({ pattern: '^.{1,64}$' }), Type.String({ maxLength: 512 }), {
        maxProperties: 16,
        additionalProperties: false,
        description: 'at most 16 texts under keys of 1 to 64 characters',
      }),
    ),
  },
  { additionalProperties: false },
);
type JobBody = Static<typeof JobBody>;

/** Objects in objects of the body in which null counts as absent: method, supervised, hyperparameters, lora. */
export const JOB_BODY_DEPTH = 4;

/** @throws AppError `invalid_request` when hyperparameters stand in both places. */
export function jobRequest(body: JobBody): JobRequest {
  const inMethod = body.method?.supervised?.hyperparameters;
  if (inMethod !== undefined && body.hyperparameters !== undefined)
    throw new AppError('invalid_request', '"hyperparameters": they stand in "method" too, expected them in one place', {
      param: 'hyperparameters',
    });
  return {
    model: body.model,
    trainingFile: body.training_file,
    validationFile: body.validation_file ?? null,
    suffix: body.suffix ?? null,
    seed: body.seed ?? null,
    metadata: body.metadata ?? null,
    choices: choicesOf(inMethod ?? body.hyperparameters ?? {}),
    choicesPath: body.hyperparameters === undefined ? 'method.supervised.hyperparameters' : 'hyperparameters',
  };
}

function choicesOf(given: Choices): HyperparameterChoices {
  const chosen = <T>(value: T | 'auto' | undefined): T | undefined => (value === 'auto' ? undefined : value);
  return present({
    epochs: chosen(given.n_epochs),
    batchSize: chosen(given.batch_size),
    learningRateMultiplier: chosen(given.learning_rate_multiplier),
    learningRate: given.learning_rate,
    maxSteps: given.max_steps,
    gradientAccumulation: given.gradient_accumulation,
    scheduler: given.lr_scheduler,
    warmupRatio: given.warmup_ratio,
    weightDecay: given.weight_decay,
    maxGradNorm: given.max_grad_norm,
    maxSeqLength: given.max_seq_length,
    shuffle: given.shuffle,
    basePrecision: given.base_precision,
    earlyStoppingPatience: given.early_stopping_patience,
    evaluationSteps: given.evaluation_steps,
    publish: given.publish,
    recompressRank: given.recompress_rank,
    lora: given.lora === undefined ? undefined : loraOf(given.lora),
  });
}

function loraOf(given: Static<typeof Lora>): Partial<LoraSpec> {
  const targets = given.target_modules;
  return present({
    r: given.r,
    alpha: given.alpha,
    targetModules: typeof targets === 'string' ? [targets] : targets,
    init: given.init,
    useRslora: given.use_rslora,
    useDora: given.use_dora,
    loraplusLrRatio: given.loraplus_lr_ratio,
    dropout: given.dropout,
    rankPattern: given.rank_pattern,
  });
}

/** Without the fields that are undefined. */
function present<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
