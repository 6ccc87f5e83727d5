// How far the model's predictions move when one projection group alone multiplies row by row in integers. Loads ONNX Runtime.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LlamaConfig } from '../../architectures/index.ts';
import type { Graph } from '../../graph/index.ts';
import {
  type Binding,
  createTensor,
  type ElementType,
  type OrtEnvironment,
  type Session,
  type Tensor,
  type TensorData,
} from '../../runtime/index.ts';
import { meanDivergence } from './mean-divergence.ts';

export interface RowTrialOptions {
  readonly environment: OrtEnvironment;
  /** Of `graph`, with a switch `row_wise.<group>` for each group. */
  readonly session: Session;
  readonly graph: Graph;
  readonly config: LlamaConfig;
  /** Texts of one length, read side by side. */
  readonly texts: readonly (readonly number[])[];
  readonly onProgress?: (done: number, total: number) => void;
}

const SWITCH = 'row_wise.';
/** Predictions are compared after every second token: neighbours say much the same, and the head costs as much as several layers. */
const COMPARED_STRIDE = 2;

/** Mean KL divergence from the float32 model over all texts, in nats, by group. */
export async function tryRowWise({ onProgress, ...options }: RowTrialOptions): Promise<ReadonlyMap<string, number>> {
  const switches = options.graph.inputs.filter(({ name }) => name.startsWith(SWITCH)).map(({ name }) => name);
  using trial = new Trial(options, switches);
  const reference = trial.run(null).slice();
  const divergences = new Map<string, number>();
  for (const name of switches) {
    divergences.set(name.slice(SWITCH.length), meanDivergence(reference, trial.run(name), options.config.vocabularySize));
    onProgress?.(divergences.size, switches.length);
    // A run blocks; in between, the process may learn that its parent has gone.
    await nextTurn();
  }
  return divergences;
}

/** One binding of all texts, from position 0. */
class Trial implements Disposable {
  readonly #binding: Binding;
  readonly #tensors: Tensor[] = [];
  readonly #environment: OrtEnvironment;
  readonly #on: Tensor;
  readonly #off: Tensor;
  readonly #logits: Float32Array;

  constructor({ environment, session, config, texts }: Omit<RowTrialOptions, 'onProgress'>, switches: readonly string[]) {
    this.#environment = environment;
    this.#binding = session.createBinding();
    const rows = texts.length;
    const length = texts[0]?.length ?? 0;
    const compared = Array.from({ length: Math.ceil(length / COMPARED_STRIDE) }, (_, index) => index * COMPARED_STRIDE);
    const bind = (name: string, type: ElementType, shape: readonly number[], data: TensorData): void =>
      this.#binding.input(name, this.#tensor(type, shape, data));
    bind('input_ids', 'int64', [rows, length], BigInt64Array.from(texts.flat(), BigInt));
    bind('seqlens_k', 'int32', [rows], new Int32Array(rows).fill(length - 1));
    bind('total_sequence_length', 'int32', [1], Int32Array.of(length));
    const positions = BigInt64Array.from(
      texts.flatMap(() => compared),
      BigInt,
    );
    bind('logits_positions', 'int64', [rows, compared.length, 1], positions);
    const { kvHeadCount, headSize, vocabularySize } = config;
    for (let layer = 0; layer < config.layerCount; layer++) {
      for (const name of ['key', 'value']) {
        const cache = this.#tensor(
          'float32',
          [rows, kvHeadCount, length, headSize],
          new Float32Array(rows * kvHeadCount * length * headSize),
        );
        this.#binding.input(`past.${layer}.${name}`, cache);
        this.#binding.output(`present.${layer}.${name}`, cache);
      }
    }
    this.#logits = new Float32Array(rows * compared.length * vocabularySize);
    this.#binding.output('logits', this.#tensor('float32', [rows, compared.length, vocabularySize], this.#logits));
    this.#on = this.#tensor('float32', [1], Float32Array.of(1));
    this.#off = this.#tensor('float32', [1], Float32Array.of(0));
    for (const name of switches) this.#binding.input(name, this.#off);
  }

  /** Logits [compared positions, vocabulary] with one group row-wise; valid until the next run. */
  run(switchName: string | null): Float32Array {
    if (switchName !== null) this.#binding.input(switchName, this.#on);
    this.#binding.run();
    if (switchName !== null) this.#binding.input(switchName, this.#off);
    return this.#logits;
  }

  dispose(): void {
    this.#binding.dispose();
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const tensor = createTensor(this.#environment, type, shape, data);
    this.#tensors.push(tensor);
    return tensor;
  }
}
