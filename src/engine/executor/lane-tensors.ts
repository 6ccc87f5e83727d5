// Tensors over some lanes of a row group, as a graph's inputs and outputs want them: keys and values, and adapters.
import type { CompiledGraph, KvScales, LoraInputGroup } from '../../models/index.ts';
import { type Binding, createTensor, type ElementType, type OrtEnvironment, type Tensor, type TensorData } from '../../runtime/index.ts';
import type { AdapterLanes } from './adapter-lanes.ts';
import type { KvMemory } from './kv-memory.ts';
import type { GroupLayout } from './rank-layout.ts';

export interface LaneRange {
  readonly start: number;
  readonly count: number;
}

interface LaneTensorsOptions extends LaneRange {
  readonly environment: OrtEnvironment;
  readonly graph: CompiledGraph;
  readonly layerCount: number;
  readonly kv: KvMemory;
  /** By layer; null for a float32 cache. */
  readonly kvScales: readonly KvScales[] | null;
  readonly adapters: AdapterLanes;
  /** all: of each lane its own. first: all lanes have one adapter, the first one's is read for all. none: no lane has one. */
  readonly adapted: 'all' | 'first' | 'none';
}

export class LaneTensors implements Disposable {
  readonly #options: LaneTensorsOptions;
  readonly #inputs: (readonly [name: string, tensor: Tensor])[] = [];
  readonly #outputs: (readonly [name: string, tensor: Tensor])[] = [];

  constructor(options: LaneTensorsOptions) {
    this.#options = options;
    this.#addKv();
    for (const group of options.graph.loraGroups) this.#addAdapterGroup(group);
  }

  /** Whether they point into the adapters' memory. */
  get hasAdapters(): boolean {
    return this.#options.graph.loraGroups.length > 0;
  }

  /** Binds all of them under the names that the graph has for them. */
  bind(binding: Binding, nameOf: (name: string) => string = (name) => name): void {
    for (const [name, tensor] of this.#inputs) binding.input(nameOf(name), tensor);
    for (const [name, tensor] of this.#outputs) binding.output(nameOf(name), tensor);
  }

  dispose(): void {
    for (const [, tensor] of this.#inputs) tensor.dispose();
    this.#inputs.length = 0;
    this.#outputs.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #addKv(): void {
    const { kv, kvScales, layerCount, start, count } = this.#options;
    const halves = [
      [0, 'key'],
      [1, 'value'],
    ] as const;
    for (let layer = 0; layer < layerCount; layer++) {
      for (const [half, name] of halves) {
        const tensor = this.#add(`past.${layer}.${name}`, kv.elementType, kv.tensorShape(count), kv.lanes(layer, half, start, count));
        this.#outputs.push([`present.${layer}.${name}`, tensor]);
        const scales = kvScales?.[layer]?.[name];
        if (scales) this.#add(`past.${layer}.${name}.scale`, 'float32', [scales.length], scales);
      }
    }
  }

  /** One adapter for all lanes, and none at all, have a batch of 1 that the graph's products and sums broadcast. */
  #addAdapterGroup(group: LoraInputGroup): void {
    const { adapters, start, adapted } = this.#options;
    const { inputs, parts } = group;
    const layout = adapted === 'none' ? null : this.#layoutOf(group);
    const count = adapted === 'all' ? this.#options.count : 1;
    const rankSum = layout?.rankSum ?? 0;
    const add = (name: string | undefined, input: GroupLayout['a'] | undefined, shape: readonly number[]): void => {
      if (name === undefined || input === null) return;
      this.#add(name, 'float32', shape, input ? adapters.lanes(input, start, count) : new Float32Array());
    };
    if (inputs.scales === undefined) add(inputs.a, layout?.a, [count, group.inFeatures, rankSum]);
    else {
      const levels = layout?.levels;
      if (layout && !levels) throw new Error(`no memory is laid out for the levels of ${group.id}`);
      const a = levels ? adapters.levels(levels.a, start, count) : new Int8Array();
      this.#add(inputs.a, 'int8', [count, group.inFeatures, rankSum], a);
      add(inputs.scales, levels?.scales, [count, 1, rankSum]);
    }
    const partRanks = parts.map((_, index) => layout?.partRanks[index] ?? 0);
    if (inputs.ranks !== undefined) this.#add(inputs.ranks, 'int64', [parts.length], BigInt64Array.from(partRanks, BigInt));
    parts.forEach((part, index) => {
      const name = inputs.b[index];
      add(name, layout?.b[index], [count, partRanks[index] ?? 0, part.outFeatures]);
    });
    if (!layout) return;
    add(inputs.gain, layout.gain, [count, 1, layout.outSum]);
    add(inputs.bias, layout.bias, [count, 1, layout.outSum]);
  }

  #layoutOf(group: LoraInputGroup): GroupLayout {
    const layout = this.#options.adapters.layout?.groups.find((candidate) => candidate.group.id === group.id);
    if (!layout) throw new Error(`no adapter memory is laid out for ${group.id}`);
    return layout;
  }

  #add(name: string, type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const tensor = createTensor(this.#options.environment, type, shape, data);
    this.#inputs.push([name, tensor]);
    return tensor;
  }
}
