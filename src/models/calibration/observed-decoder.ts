// One sequence through the observed graph; owns its cache and remembers the largest value of every channel.
import type { LlamaConfig } from '../../architectures/index.ts';
import type { Graph } from '../../graph/index.ts';
import {
  type Binding,
  createTensor,
  type ElementType,
  HostMemory,
  type OrtEnvironment,
  type Session,
  type Tensor,
  type TensorData,
} from '../../runtime/index.ts';
import type { Calibration } from './calibration.ts';

interface ObservedDecoderOptions {
  readonly environment: OrtEnvironment;
  readonly session: Session;
  /** Of the session, with outputs `input.<group>`. */
  readonly graph: Graph;
  readonly config: LlamaConfig;
  /** Positions of the cache. */
  readonly capacity: number;
}

interface CacheHalf {
  /** [kvHeads, capacity, headSize] */
  readonly values: Float32Array;
  /** [kvHeads * headSize] */
  readonly largest: Float32Array;
}

export class ObservedDecoder implements Disposable {
  readonly #options: ObservedDecoderOptions;
  readonly #binding: Binding;
  readonly #memory: HostMemory;
  readonly #cache: Readonly<Record<'key' | 'value', readonly CacheHalf[]>>;
  readonly #inputMax: ReadonlyMap<string, Float32Array>;
  readonly #lasting: Tensor[] = [];

  constructor(options: ObservedDecoderOptions) {
    this.#options = options;
    const { session, graph, config, capacity } = options;
    this.#binding = session.createBinding();
    const length = config.kvHeadCount * capacity * config.headSize;
    this.#memory = HostMemory.allocate(config.layerCount * 2 * length * Float32Array.BYTES_PER_ELEMENT);
    const halves = (name: 'key' | 'value', half: number): readonly CacheHalf[] =>
      Array.from({ length: config.layerCount }, (_, layer) => {
        const offset = (layer * 2 + half) * length * Float32Array.BYTES_PER_ELEMENT;
        const values = new Float32Array(this.#memory.buffer, offset, length);
        const tensor = this.#tensor('float32', [1, config.kvHeadCount, capacity, config.headSize], values, this.#lasting);
        this.#binding.input(`past.${layer}.${name}`, tensor);
        this.#binding.output(`present.${layer}.${name}`, tensor);
        return { values, largest: new Float32Array(config.kvHeadCount * config.headSize) };
      });
    this.#cache = { key: halves('key', 0), value: halves('value', 1) };
    const observed = graph.outputs.filter(({ name }) => name.startsWith('input.'));
    this.#inputMax = new Map(observed.map(({ name, shape }) => [name, new Float32Array(Number(shape.at(-1)))]));
  }

  get maxima(): Pick<Calibration, 'inputMax' | 'keyMax' | 'valueMax'> {
    return {
      inputMax: new Map([...this.#inputMax].map(([name, largest]) => [name.slice('input.'.length), largest])),
      keyMax: this.#cache.key.map(({ largest }) => largest),
      valueMax: this.#cache.value.map(({ largest }) => largest),
    };
  }

  /** Runs consecutive tokens of the window. */
  read(tokenIds: readonly number[], start: number): void {
    const end = start + tokenIds.length;
    const perCall: Tensor[] = [];
    const bind = (name: string, type: ElementType, shape: readonly number[], data: TensorData): void =>
      this.#binding.input(name, this.#tensor(type, shape, data, perCall));
    bind('input_ids', 'int64', [1, tokenIds.length], BigInt64Array.from(tokenIds, BigInt));
    bind('seqlens_k', 'int32', [1], Int32Array.of(end - 1));
    bind('total_sequence_length', 'int32', [1], Int32Array.of(end));
    bind('logits_positions', 'int64', [1, 0, 1], new BigInt64Array());
    const { vocabularySize } = this.#options.config;
    this.#binding.output('logits', this.#tensor('float32', [1, 0, vocabularySize], new Float32Array(), perCall));
    const outputs = [...this.#inputMax].map(([name, largest]) => {
      const values = new Float32Array(new ArrayBuffer(tokenIds.length * largest.length * Float32Array.BYTES_PER_ELEMENT));
      this.#binding.output(name, this.#tensor('float32', [1, tokenIds.length, largest.length], values, perCall));
      return { values, largest };
    });
    this.#binding.run();
    for (const { values, largest } of outputs) raise(largest, values);
    for (const tensor of perCall) tensor.dispose();
  }

  /** Takes the cache of a window into account; the next one starts at position 0 again. */
  endWindow(length: number): void {
    const { kvHeadCount, headSize } = this.#options.config;
    for (const { values, largest } of [...this.#cache.key, ...this.#cache.value]) {
      for (let head = 0; head < kvHeadCount; head++) {
        const from = head * this.#options.capacity * headSize;
        raise(largest.subarray(head * headSize, (head + 1) * headSize), values.subarray(from, from + length * headSize));
      }
    }
  }

  dispose(): void {
    this.#binding.dispose();
    for (const tensor of this.#lasting) tensor.dispose();
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(type: ElementType, shape: readonly number[], data: TensorData, owner: Tensor[]): Tensor {
    const tensor = createTensor(this.#options.environment, type, shape, data);
    owner.push(tensor);
    return tensor;
  }
}

/** Raises every channel of `largest` to the largest |value| of its column in `values` [n, channels]. */
function raise(largest: Float32Array, values: Float32Array): void {
  for (let index = 0, channel = 0; index < values.length; index++) {
    const size = Math.abs(values[index] ?? 0);
    if (size > (largest[channel] ?? 0)) largest[channel] = size;
    if (++channel === largest.length) channel = 0;
  }
}
