// The port's computation: graphs of forward and backward over one base, made when they are first needed, run on one micro-batch a call.
import type { SiteInputs } from '../../../graph/index.ts';
import { ensureCompiled, openModelPackage } from '../../../models/index.ts';
import { type Binding, createTensor, type OrtEnvironment, type Tensor, type TensorData } from '../../../runtime/index.ts';
import type { ComputationOptions, Dropout, LossSum, TrainingComputation, TrainingExample } from '../ports.ts';
import { type BaseSessions, openBaseSessions } from './base-session.ts';
import { type Batch, type HeadCounts, makeBatch } from './batch.ts';
import { channelNumbers, dropThreshold, tokenNumbers } from './dropout.ts';
import { frozenSites } from './frozen-sites.ts';
import { addGradient, type GradientPart, SiteTensors } from './site-tensors.ts';
import { buildTrainingGraph, LOSS_OUTPUT, type TrainingGraphOptions } from './training-graph.ts';

/** What a run is for: each is a graph of its own. */
type Purpose = 'train' | 'train-with-dropout' | 'evaluate';

/** @throws AppError `usage` when the model is not imported. */
export async function createTrainingComputation(options: ComputationOptions): Promise<TrainingComputation> {
  const model = await openModelPackage(options.modelFolder);
  try {
    const compiled = await ensureCompiled(model, options.basePrecision);
    const frozen = await frozenSites(model, options.sites);
    const base = openBaseSessions(compiled, options.threadCount);
    return new Computation(
      base,
      { config: model.config, sites: options.sites },
      (inputs) => new SiteTensors(base.environment, inputs, frozen),
    );
  } finally {
    await model.close();
  }
}

interface Prepared {
  readonly binding: Binding;
  readonly siteInputs: readonly SiteInputs[];
}

class Computation implements TrainingComputation {
  readonly #base: BaseSessions;
  readonly #graph: Pick<TrainingGraphOptions, 'config' | 'sites'>;
  readonly #tensors: SiteTensors;
  readonly #scratch = new Map<string, { readonly values: Float32Array; readonly tensor: Tensor }>();
  readonly #prepared = new Map<Purpose, Prepared>();
  readonly #channels = new Map<number, Tensor>();

  constructor(
    base: BaseSessions,
    graph: Pick<TrainingGraphOptions, 'config' | 'sites'>,
    makeTensors: (siteInputs: readonly SiteInputs[]) => SiteTensors,
  ) {
    this.#base = base;
    this.#graph = graph;
    // The sites' inputs are the same in every graph.
    const { siteInputs } = buildTrainingGraph({ ...graph, dropout: false, gradients: false });
    this.#tensors = makeTensors(siteInputs);
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
    for (const { binding } of this.#prepared.values()) binding.dispose();
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
    const batch = makeBatch(examples, this.#graph.config satisfies HeadCounts);
    if (batch.supervisedCount === 0) return { loss: 0, supervisedTokens: 0 };
    const prepared = this.#prepare(purpose);
    const { environment } = this.#base;
    const tensors: Tensor[] = [];
    try {
      for (const [name, type, shape, data] of batchInputs(batch)) {
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

  #prepare(purpose: Purpose): Prepared {
    const known = this.#prepared.get(purpose);
    if (known) return known;
    const gradients = purpose !== 'evaluate';
    const { graph, siteInputs } = buildTrainingGraph({ ...this.#graph, dropout: purpose === 'train-with-dropout', gradients });
    const binding = this.#base.open(graph).createBinding();
    const prepared = { binding, siteInputs };
    for (const [name, tensor] of this.#tensors.fixed) if (graph.inputs.some((input) => input.name === name)) binding.input(name, tensor);
    if (gradients) for (const part of this.#tensors.gradients) this.#bindScratch(binding, part);
    this.#prepared.set(purpose, prepared);
    return prepared;
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

type BatchInput = readonly [string, 'int64' | 'float32', readonly number[], TensorData];

function batchInputs(batch: Batch): readonly BatchInput[] {
  const { rowCount, length, tokenCount, supervisedCount } = batch;
  const heads = (indices: BigInt64Array): number => indices.length / Math.max(1, rowCount * length);
  return [
    ['input_ids', 'int64', [tokenCount], batch.inputIds],
    ['unpack.queries', 'int64', [rowCount, heads(batch.unpackQueries), length], batch.unpackQueries],
    ['unpack.keys', 'int64', [rowCount, heads(batch.unpackKeys), length], batch.unpackKeys],
    ['pack.queries', 'int64', [batch.packQueries.length / 3, 3], batch.packQueries],
    ['pack.keys', 'int64', [batch.packKeys.length / 3, 3], batch.packKeys],
    ['mask', 'float32', [rowCount, 1, length, length], batch.mask],
    ['supervised', 'int64', [supervisedCount], batch.supervised],
    ['supervised.inverse', 'int64', [tokenCount], batch.supervisedInverse],
    ['targets', 'int64', [supervisedCount], batch.targets],
  ];
}
