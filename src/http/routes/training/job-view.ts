// How jobs, events and checkpoints look in JSON: OpenAI's fields, and ours beside them. Times are seconds since the epoch.
import { Type, type Static } from 'typebox';
import {
  DEFAULT_LEARNING_RATE,
  type StepRecord,
  type TrainingCheckpoint,
  type TrainingEvent,
  type TrainingJob,
} from '../../../training/index.ts';

const nullable = <S extends Parameters<typeof Type.Array>[0]>(schema: S) => Type.Union([schema, Type.Null()]);

const Resolved = Type.Object({
  n_epochs: Type.Integer(),
  batch_size: Type.Integer(),
  learning_rate_multiplier: Type.Number(),
  learning_rate: Type.Number(),
  max_steps: nullable(Type.Integer()),
  gradient_accumulation: Type.Integer(),
  lr_scheduler: Type.String(),
  warmup_ratio: Type.Number(),
  weight_decay: Type.Number(),
  max_grad_norm: Type.Number(),
  max_seq_length: Type.Integer(),
  shuffle: Type.Boolean(),
  base_precision: Type.String(),
  early_stopping_patience: Type.Integer(),
  evaluation_steps: Type.Integer(),
  publish: Type.String(),
  recompress_rank: nullable(Type.Integer()),
  lora: Type.Object({
    r: Type.Integer(),
    alpha: Type.Number(),
    target_modules: Type.Array(Type.String()),
    init: Type.String(),
    use_rslora: Type.Boolean(),
    use_dora: Type.Boolean(),
    loraplus_lr_ratio: Type.Number(),
    dropout: Type.Number(),
    rank_pattern: Type.Record(Type.String(), Type.Integer()),
  }),
});

const Result = Type.Object({
  steps: Type.Integer(),
  published_step: Type.Integer(),
  trained_tokens: Type.Integer(),
  trainable_parameters: Type.Integer(),
  final_train_loss: Type.Number(),
  best_valid_loss: nullable(Type.Number()),
  recompression_error: nullable(Type.Number({ description: 'Relative Frobenius error of the compression to recompress_rank' })),
  stopped_early: Type.Boolean(),
});

export const JobView = Type.Object({
  id: Type.String(),
  object: Type.Literal('fine_tuning.job'),
  created_at: Type.Integer(),
  finished_at: nullable(Type.Integer()),
  estimated_finish: nullable(Type.Integer()),
  status: Type.String({ description: 'validating_files, queued, running, paused, succeeded, failed or cancelled' }),
  model: Type.String(),
  fine_tuned_model: nullable(Type.String({ description: 'The adapter, once it is published' })),
  organization_id: Type.String({ description: 'The tenant' }),
  training_file: Type.String(),
  validation_file: nullable(Type.String()),
  result_files: Type.Array(Type.String({ description: 'Loss curve as JSON and as SVG' })),
  trained_tokens: nullable(Type.Integer()),
  seed: Type.Integer(),
  error: nullable(Type.Object({ code: Type.String(), message: Type.String(), param: nullable(Type.String()) })),
  metadata: nullable(Type.Record(Type.String(), Type.String())),
  integrations: Type.Array(Type.String()),
  hyperparameters: Type.Object({ n_epochs: Type.Integer(), batch_size: Type.Integer(), learning_rate_multiplier: Type.Number() }),
  method: Type.Object({ type: Type.Literal('supervised'), supervised: Type.Object({ hyperparameters: Resolved }) }),
  adapter_name: Type.String({ description: 'Name that the adapter gets' }),
  adapter_version: nullable(Type.Integer()),
  adapter_digest: nullable(Type.String()),
  step: Type.Integer(),
  total_steps: nullable(Type.Integer()),
  rows: nullable(
    Type.Object({ rows: Type.Integer(), tokens: Type.Integer(), supervised_tokens: Type.Integer(), cut_rows: Type.Integer() }),
  ),
  result: nullable(Result),
});
export type JobView = Static<typeof JobView>;

export function jobView(job: TrainingJob): JobView {
  const { hyperparameters, result, rows } = job;
  const resolved = resolvedView(job);
  return {
    id: job.id,
    object: 'fine_tuning.job',
    created_at: seconds(job.createdAtMs),
    finished_at: job.finishedAtMs === null ? null : seconds(job.finishedAtMs),
    estimated_finish: job.estimatedFinishMs === null ? null : Math.ceil(job.estimatedFinishMs / 1000),
    status: job.status,
    model: job.model,
    fine_tuned_model: job.published === null ? null : job.adapterName,
    organization_id: job.tenant,
    training_file: job.trainingFile,
    validation_file: job.validationFile,
    result_files: [...job.resultFiles],
    trained_tokens: result?.trainedTokens ?? null,
    seed: hyperparameters.seed,
    error: job.error,
    metadata: job.metadata,
    integrations: [],
    hyperparameters: {
      n_epochs: resolved.n_epochs,
      batch_size: resolved.batch_size,
      learning_rate_multiplier: resolved.learning_rate_multiplier,
    },
    method: { type: 'supervised', supervised: { hyperparameters: resolved } },
    adapter_name: job.adapterName,
    adapter_version: job.published?.version ?? null,
    adapter_digest: job.published?.digest ?? null,
    step: job.step,
    total_steps: job.totalSteps,
    rows: rows === null ? null : { rows: rows.rows, tokens: rows.tokens, supervised_tokens: rows.supervisedTokens, cut_rows: rows.cutRows },
    result: result === null ? null : resultView(result),
  };
}

function resolvedView({ hyperparameters: chosen }: TrainingJob): Static<typeof Resolved> {
  const { lora } = chosen;
  return {
    n_epochs: chosen.epochs,
    batch_size: chosen.batchSize,
    learning_rate_multiplier: Number((chosen.learningRate / DEFAULT_LEARNING_RATE).toPrecision(6)),
    learning_rate: chosen.learningRate,
    max_steps: chosen.maxSteps,
    gradient_accumulation: chosen.gradientAccumulation,
    lr_scheduler: chosen.scheduler,
    warmup_ratio: chosen.warmupRatio,
    weight_decay: chosen.weightDecay,
    max_grad_norm: chosen.maxGradNorm,
    max_seq_length: chosen.maxSeqLength,
    shuffle: chosen.shuffle,
    base_precision: chosen.basePrecision,
    early_stopping_patience: chosen.earlyStoppingPatience,
    evaluation_steps: chosen.evaluationSteps,
    publish: chosen.publish,
    recompress_rank: chosen.recompressRank,
    lora: {
      r: lora.r,
      alpha: lora.alpha,
      target_modules: [...lora.targetModules],
      init: lora.init,
      use_rslora: lora.useRslora,
      use_dora: lora.useDora,
      loraplus_lr_ratio: lora.loraplusLrRatio,
      dropout: lora.dropout,
      rank_pattern: { ...lora.rankPattern },
    },
  };
}

function resultView(result: NonNullable<TrainingJob['result']>): Static<typeof Result> {
  return {
    steps: result.steps,
    published_step: result.publishedStep,
    trained_tokens: result.trainedTokens,
    trainable_parameters: result.trainableParameters,
    final_train_loss: result.finalTrainLoss,
    best_valid_loss: result.bestValidLoss,
    recompression_error: result.recompressionError,
    stopped_early: result.stoppedEarly,
  };
}

const Metrics = Type.Object({
  step: Type.Integer(),
  train_loss: Type.Number(),
  learning_rate: Type.Number(),
  grad_norm: Type.Number(),
  tokens_per_second: Type.Number(),
  valid_loss: Type.Optional(Type.Number()),
});

export const EventView = Type.Object({
  id: Type.String(),
  object: Type.Literal('fine_tuning.job.event'),
  created_at: Type.Integer(),
  level: Type.String({ description: 'info, warn or error' }),
  message: Type.String(),
  type: Type.String({ description: 'message, or metrics of a step' }),
  data: nullable(Metrics),
});
export type EventView = Static<typeof EventView>;

export function eventView({ id, atMs, level, message, metrics }: TrainingEvent): EventView {
  const type = metrics === null ? 'message' : 'metrics';
  return { id, object: 'fine_tuning.job.event', created_at: seconds(atMs), level, message, type, data: metricsView(metrics) };
}

export const CheckpointView = Type.Object({
  id: Type.String(),
  object: Type.Literal('fine_tuning.job.checkpoint'),
  created_at: Type.Integer(),
  fine_tuned_model_checkpoint: Type.String({ description: 'A label: checkpoints are resumed from and not served' }),
  fine_tuning_job_id: Type.String(),
  step_number: Type.Integer(),
  metrics: Type.Union([Metrics, Type.Object({ step: Type.Integer() })]),
});
export type CheckpointView = Static<typeof CheckpointView>;

export function checkpointView(job: TrainingJob, { id, step, atMs, metrics }: TrainingCheckpoint): CheckpointView {
  return {
    id,
    object: 'fine_tuning.job.checkpoint',
    created_at: seconds(atMs),
    fine_tuned_model_checkpoint: `${job.adapterName}:step-${step}`,
    fine_tuning_job_id: job.id,
    step_number: step,
    metrics: metricsView(metrics) ?? { step },
  };
}

function metricsView(metrics: StepRecord | null): Static<typeof Metrics> | null {
  return metrics === null ? null : { ...metrics };
}

function seconds(atMs: number): number {
  return Math.floor(atMs / 1000);
}
