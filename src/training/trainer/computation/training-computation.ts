// The port's computation: graphs of forward and backward over one base, made when they are first needed, run on one micro-batch a call.
import type { SiteInputs } from '../../../graph/index.ts';
import { ensureCompiled, openModelPackage } from '../../../models/index.ts';
import { type Binding, createTensor, type OrtEnvironment, type Tensor } from '../../../runtime/index.ts';
import type { ComputationOptions, Dropout, LossSum, TrainingComputation, TrainingExample } from '../ports.ts';
import { type BaseSessions, openBaseSessions } from './base-session.ts';
import { type Batch, batchInputs, type HeadCounts, makeBatch } from './batch.ts';
import { channelNumbers, dropThreshold, tokenNumbers } from './dropout.ts';
import { frozenSites } from './frozen-sites.ts';
import { type Prepared, PreparedGraphs, type PreparedGraphsOptions, type Purpose } from './prepared-graphs.ts';
import { addGradient, type GradientPart, SiteTensors } from './site-tensors.ts';
import { buildTrainingGraph, LOSS_OUTPUT } from './training-graph.ts';

/** @throws AppError `usage` when the model is not imported. */
export async function createTrainingComputation(options: ComputationOptions): Promise<TrainingComputation> {
  const model = await openModelPackage(options.modelFolder);
  try {
    const compiled = await ensureCompiled(model, options.basePrecision);
    const frozen = await frozenSites(model, options.sites);
    const base = openBaseSessions(compiled, options);
    return new Computation(
      base,
      { config: model.config, sites: options.sites, basePrecision: options.basePrecision, memoryBudgetBytes: options.memoryBudgetBytes },
      (inputs) => new SiteTensors(base.environment, inputs, frozen),
    );
  } finally {
    await model.close();
  }
}

class Computation implements TrainingComputation {
  readonly #base: BaseSessions;
  readonly #heads: HeadCounts;
  readonly #tensors: SiteTensors;
  readonly #scratch = new Map<string, { readonly values: Float32Array; readonly tensor: Tensor }>();
  readonly #graphs: PreparedGraphs;
  readonly #channels = new Map<number, Tensor>();

  constructor(base: BaseSessions, options: PreparedGraphsOptions, makeTensors: (siteInputs: readonly SiteInputs[]) => SiteTensors) {
    this.#base = base;
    this.#heads = options.config;
    // The sites' inputs are the same in every graph.
    const { siteInputs } = buildTrainingGraph({ ...options, dropout: false, gradients: false, recomputedLayers: 0, sharesTokens: false });
    this.#tensors = makeTensors(siteInputs);
    this.#graphs = new PreparedGraphs(base, options, (prepared, purpose) => this.#bindFixed(prepared, purpose));
  }

  get parameters(): TrainingComputation['parameters'] {
    return this.#tensors.parameters;
  }

  zeroGradients(): void {
    for (const { gradient } of this.parameters) gradient.fill(0);
  }

  accumulate(examples: readonly TrainingExample[], lossScale: number, dropout: Dropout | null): LossSum {
    const masked = dropout && dropout.rate > 0 ? dropout : null;
    return this.#run(examples, masked ? 'train-with-dropout' : 'train', (prepared, batch, environment) => {
      const rows = this.#bindGradients(prepared, batch, environment);
      const tensors = masked ? this.#bindDropout(prepared, batch, masked) : [];
      return {
        tensors: [...rows.map(({ tensor }) => tensor), ...tensors],
        finish: () => {
          for (const part of this.#tensors.gradients) {
            const found = rows.find(({ name }) => name === part.input) ?? this.#scratch.get(part.input);
            if (found) addGradient(part, found.values, lossScale, batch);
          }
        },
      };
    });
  }

  evaluate(examples: readonly TrainingExample[]): LossSum {
    return this.#run(examples, 'evaluate', () => ({ tensors: [], finish: () => undefined }));
  }

  close(): void {
    this.#graphs.close();
    for (const tensor of this.#channels.values()) tensor.dispose();
    for (const { tensor } of this.#scratch.values()) tensor.dispose();
    this.#tensors.close();
    this.#base.close();
  }

  #run(
    examples: readonly TrainingExample[],
    purpose: Purpose,
    bindMore: (prepared: Prepared, batch: Batch, environment: OrtEnvironment) => { readonly tensors: readonly Tensor[]; finish(): void },
  ): LossSum {
    // Each token has a mask of its own under dropout.
    const batch = makeBatch(examples, this.#heads, purpose !== 'train-with-dropout');
    if (batch.supervisedCount === 0) return { loss: 0, supervisedTokens: 0 };
    const prepared = this.#graphs.for(purpose, batch);
    const { environment } = this.#base;
    const tensors: Tensor[] = [];
    try {
      for (const [name, type, shape, data] of batchInputs(batch)) {
        if (!prepared.inputNames.has(name)) continue;
        const tensor = createTensor(environment, type, shape, data);
        tensors.push(tensor);
        prepared.binding.input(name, tensor);
      }
      for (const [name, tensor] of this.#tensors.gather(batch)) {
        tensors.push(tensor);
        prepared.binding.input(name, tensor);
      }
      const losses = new Float32Array(new ArrayBuffer(Math.max(64, batch.supervisedCount * 4)), 0, batch.supervisedCount);
      const lossTensor = createTensor(environment, 'float32', [batch.supervisedCount, 1], losses);
      tensors.push(lossTensor);
      prepared.binding.output(LOSS_OUTPUT, lossTensor);
      const more = bindMore(prepared, batch, environment);
      tensors.push(...more.tensors);
      prepared.binding.run();
      more.finish();
      return { loss: losses.reduce((sum, loss) => sum + loss, 0), supervisedTokens: batch.supervisedCount };
    } finally {
      for (const tensor of tensors) tensor.dispose();
    }
  }

  #bindFixed({ binding, inputNames }: Prepared, purpose: Purpose): void {
    for (const [name, tensor] of this.#tensors.fixed) if (inputNames.has(name)) binding.input(name, tensor);
    if (purpose !== 'evaluate') for (const part of this.#tensors.gradients) this.#bindScratch(binding, part);
  }

  /** Whole gradients have one place for all graphs and runs. */
  #bindScratch(binding: Binding, { input, parameter, gathered }: GradientPart): void {
    if (gathered) return;
    let scratch = this.#scratch.get(input);
    if (!scratch) {
      const values = new Float32Array(new ArrayBuffer(parameter.values.byteLength));
      scratch = { values, tensor: createTensor(this.#base.environment, 'float32', parameter.shape, values) };
      this.#scratch.set(input, scratch);
    }
    binding.output(`gradient.${input}`, scratch.tensor);
  }

  /** Gradients of gathered rows are as long as the batch. */
  #bindGradients({ binding }: Prepared, batch: Batch, environment: OrtEnvironment) {
    return this.#tensors.gradients.flatMap(({ input, parameter, gathered }) => {
      if (!gathered) return [];
      const count = batch[gathered.by].length;
      const width = gathered.axis === 'rows' ? parameter.values.length / (parameter.shape[0] ?? 1) : (parameter.shape[0] ?? 1);
      const values = new Float32Array(new ArrayBuffer(Math.max(64, count * width * 4)), 0, count * width);
      const tensor = createTensor(environment, 'float32', [count, width], values);
      binding.output(`gradient.${input}`, tensor);
      return [{ name: input, values, tensor }];
    });
  }

  #bindDropout({ binding, siteInputs }: Prepared, batch: Batch, dropout: Dropout): readonly Tensor[] {
    const { environment } = this.#base;
    const made: Tensor[] = [];
    const bind = (name: string, type: 'int32' | 'float32', shape: readonly number[], data: Int32Array | Float32Array): void => {
      const tensor = createTensor(environment, type, shape, data);
      made.push(tensor);
      binding.input(name, tensor);
    };
    for (const { dropout: inputs, kind, spec, inFeatures } of siteInputs) {
      if (!inputs) continue;
      const count = kind === 'head' ? batch.supervisedCount : batch.tokenCount;
      bind(inputs.rows.name, 'int32', [count, 1], tokenNumbers(dropout, spec.site, count));
      binding.input(inputs.columns.name, this.#channelTensor(inFeatures));
      bind(inputs.threshold.name, 'int32', [], Int32Array.of(dropThreshold(dropout.rate)));
      bind(inputs.scale.name, 'float32', [], Float32Array.of(1 / (1 - dropout.rate)));
    }
    return made;
  }

  #channelTensor(count: number): Tensor {
    const known = this.#channels.get(count) ?? createTensor(this.#base.environment, 'int32', [1, count], channelNumbers(count));
    this.#channels.set(count, known);
    return known;
  }
}
