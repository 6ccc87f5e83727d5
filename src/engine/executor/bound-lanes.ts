// A session binding over some lanes of a row group: KV and adapter tensors stay bound, token inputs change with each call.
import { packedArray } from '../../adapters/packed.ts';
import type { CompiledGraph, KvScales, LoraInputGroup } from '../../models/index.ts';
import {
  type Binding,
  createTensor,
  type ElementType,
  type OrtEnvironment,
  type Session,
  type Tensor,
  type TensorData,
} from '../../runtime/index.ts';
import type { AdapterLanes } from './adapter-lanes.ts';
import type { KvMemory } from './kv-memory.ts';
import type { GroupLayout } from './rank-layout.ts';

export interface TokenInputs {
  /** [lanes, tokens], row-major. */
  readonly tokenIds: BigInt64Array;
  /** Length of each lane's sequence after this call, minus 1. */
  readonly seqlens: Int32Array;
  /** Indices into the tokens of which logits are wanted, [lanes, positions]. */
  readonly logitsPositions: BigInt64Array;
}

interface BoundLanesOptions {
  readonly environment: OrtEnvironment;
  readonly session: Session;
  readonly graph: CompiledGraph;
  readonly layerCount: number;
  readonly vocabularySize: number;
  readonly kv: KvMemory;
  /** By layer; null for a float32 cache. */
  readonly kvScales: readonly KvScales[] | null;
  readonly adapters: AdapterLanes;
  readonly start: number;
  readonly count: number;
  /** Whether all lanes have one adapter; the first lane's is then read for all. */
  readonly shared: boolean;
}

export class BoundLanes implements Disposable {
  readonly #options: BoundLanesOptions;
  readonly #binding: Binding;
  readonly #lasting: Tensor[] = [];
  #perCall: Tensor[] = [];

  constructor(options: BoundLanesOptions) {
    this.#options = options;
    this.#binding = options.session.createBinding();
    this.#bindKv();
    for (const group of options.graph.loraGroups) this.#bindAdapterGroup(group);
  }

  /** Whether its tensors point into the adapters' memory. */
  get hasAdapters(): boolean {
    return this.#options.graph.loraGroups.length > 0;
  }

  /** Runs one call; `logits` [lanes, positions, vocabulary] receives the result. */
  run(inputs: TokenInputs, logits: Float32Array): void {
    const { count, graph, vocabularySize } = this.#options;
    const tokenCount = inputs.tokenIds.length / count;
    const positionCount = inputs.logitsPositions.length / count;
    this.#releaseCallTensors();
    this.#bindForCall('input_ids', 'int64', [count, tokenCount], inputs.tokenIds);
    this.#bindForCall('seqlens_k', 'int32', [count], inputs.seqlens);
    this.#bindForCall('total_sequence_length', 'int32', [1], Int32Array.of(Math.max(...inputs.seqlens) + 1));
    this.#bindForCall('logits_positions', 'int64', [count, positionCount, 1], inputs.logitsPositions);
    const embedding = graph.loraGroups.find(({ kind }) => kind === 'embedding');
    if (embedding) this.#bindEmbeddingRows(embedding, inputs.tokenIds, tokenCount);
    const output = createTensor(this.#options.environment, 'float32', [count, positionCount, vocabularySize], logits);
    this.#perCall.push(output);
    this.#binding.output('logits', output);
    this.#binding.run();
  }

  dispose(): void {
    this.#binding.dispose();
    this.#releaseCallTensors();
    for (const tensor of this.#lasting) tensor.dispose();
    this.#lasting.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #bindKv(): void {
    const { kv, kvScales, layerCount, start, count } = this.#options;
    const halves = [
      [0, 'key'],
      [1, 'value'],
    ] as const;
    for (let layer = 0; layer < layerCount; layer++) {
      for (const [half, name] of halves) {
        const tensor = this.#lastingTensor(kv.elementType, kv.tensorShape(count), kv.lanes(layer, half, start, count));
        this.#binding.input(`past.${layer}.${name}`, tensor);
        this.#binding.output(`present.${layer}.${name}`, tensor);
        const scales = kvScales?.[layer]?.[name];
        if (scales) this.#binding.input(`past.${layer}.${name}.scale`, this.#lastingTensor('float32', [scales.length], scales));
      }
    }
  }

  /** One adapter for all lanes is bound once, with a batch of 1 that the graph's products and sums broadcast. */
  #bindAdapterGroup(group: LoraInputGroup): void {
    const { adapters, start, shared } = this.#options;
    const count = shared ? 1 : this.#options.count;
    const layout = this.#layoutOf(group);
    const { inputs } = group;
    const bind = (name: string | undefined, input: GroupLayout['a'], shape: readonly number[]): void => {
      if (name !== undefined && input)
        this.#binding.input(name, this.#lastingTensor('float32', shape, adapters.lanes(input, start, count)));
    };
    if (inputs.scales === undefined) bind(inputs.a, layout.a, [count, group.inFeatures, layout.rankSum]);
    else {
      if (!layout.levels) throw new Error(`no memory is laid out for the levels of ${group.id}`);
      const levels = adapters.levels(layout.levels.a, start, count);
      this.#binding.input(inputs.a, this.#lastingTensor('int8', [count, group.inFeatures, layout.rankSum], levels));
      bind(inputs.scales, layout.levels.scales, [count, 1, layout.rankSum]);
    }
    if (inputs.ranks !== undefined)
      this.#binding.input(
        inputs.ranks,
        this.#lastingTensor('int64', [group.parts.length], BigInt64Array.from(layout.partRanks.map(BigInt))),
      );
    group.parts.forEach((part, index) =>
      bind(inputs.b[index], layout.b[index] ?? null, [count, layout.partRanks[index] ?? 0, part.outFeatures]),
    );
    bind(inputs.gain, layout.gain, [count, 1, layout.outSum]);
    bind(inputs.bias, layout.bias, [count, 1, layout.outSum]);
  }

  /** The embedding's side path gets the rows of A for the tokens at hand: [lanes, tokens, rank]. */
  #bindEmbeddingRows(group: LoraInputGroup, tokenIds: BigInt64Array, tokenCount: number): void {
    const { adapters, start, count } = this.#options;
    const { rankSum } = this.#layoutOf(group);
    const rows = new Float32Array(new ArrayBuffer(count * tokenCount * rankSum * 4));
    for (let lane = 0; lane < count; lane++) {
      const adapter = adapters.adapter(start + lane);
      const site = adapter?.header.sites.find((candidate) => candidate.site === group.parts[0]?.site);
      if (!adapter || !site) continue;
      const a = packedArray(adapter, site.a);
      for (let token = lane * tokenCount; token < (lane + 1) * tokenCount; token++) {
        const from = Number(tokenIds[token]) * site.rank;
        rows.set(a.subarray(from, from + site.rank), token * rankSum);
      }
    }
    this.#bindForCall(group.inputs.a, 'float32', [count, tokenCount, rankSum], rows);
  }

  #layoutOf(group: LoraInputGroup): GroupLayout {
    const layout = this.#options.adapters.layout?.groups.find((candidate) => candidate.group.id === group.id);
    if (!layout) throw new Error(`no adapter memory is laid out for ${group.id}`);
    return layout;
  }

  #lastingTensor(type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const tensor = createTensor(this.#options.environment, type, shape, data);
    this.#lasting.push(tensor);
    return tensor;
  }

  #bindForCall(name: string, type: ElementType, shape: readonly number[], data: TensorData): void {
    const tensor = createTensor(this.#options.environment, type, shape, data);
    this.#perCall.push(tensor);
    this.#binding.input(name, tensor);
  }

  #releaseCallTensors(): void {
    for (const tensor of this.#perCall) tensor.dispose();
    this.#perCall = [];
  }
}
