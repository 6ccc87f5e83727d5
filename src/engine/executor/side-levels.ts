// Levels of the adapters in lanes: int8 A with a scale for each column, made by a graph of the compiled form from the float32 A that lies there.
import type { PackedAdapter } from '../../adapters/packed.ts';
import type { SideLevelsGraph } from '../../models/index.ts';
import { createTensor, type ElementType, type OrtEnvironment, type Session, type Tensor, type TensorData } from '../../runtime/index.ts';
import { keepLevels, type KeptLevels, type LaneLevels, restoreLevels } from './kept-levels.ts';

export class SideLevels {
  /** Groups that have levels. */
  readonly groupIds: ReadonlySet<string>;
  readonly #environment: OrtEnvironment;
  readonly #groups: SideLevelsGraph['groups'];
  readonly #session: () => Session;
  /** As long as the host cache has the adapter. */
  readonly #kept = new WeakMap<PackedAdapter, KeptLevels>();

  /** `session` is loaded when it is first needed. */
  constructor(environment: OrtEnvironment, { groups }: SideLevelsGraph, session: () => Session) {
    this.#environment = environment;
    this.#groups = groups;
    this.#session = session;
    this.groupIds = new Set(groups.map(({ id }) => id));
  }

  /** Loads what the first adapter would have to wait for. */
  prepare(): void {
    this.#session();
  }

  /** Writes the levels of an adapter whose float32 A lies in the lane. */
  fill(adapter: PackedAdapter, lane: readonly LaneLevels[]): void {
    const kept = this.#kept.get(adapter);
    if (kept) {
      restoreLevels(kept, adapter, lane);
      return;
    }
    this.#make(lane);
    this.#kept.set(adapter, keepLevels(adapter, lane));
  }

  #make(lane: readonly LaneLevels[]): void {
    const tensors: Tensor[] = [];
    const tensor = (type: ElementType, shape: readonly number[], data: TensorData): Tensor => {
      const made = createTensor(this.#environment, type, shape, data);
      tensors.push(made);
      return made;
    };
    const byId = new Map(lane.map((levels) => [levels.layout.group.id, levels]));
    try {
      using binding = this.#session().createBinding();
      for (const { id, inFeatures, blockSize } of this.#groups) {
        const memory = byId.get(id);
        if (!memory) throw new Error(`no adapter memory is laid out for the levels of ${id}`);
        const { a, levels, scales } = memory;
        const shape = [1, inFeatures / blockSize, blockSize, scales.length];
        binding.input(id, tensor('float32', shape, a));
        binding.output(`${id}.levels`, tensor('int8', shape, levels));
        binding.output(`${id}.scales`, tensor('float32', [1, 1, 1, scales.length], scales));
      }
      binding.run();
    } finally {
      for (const made of tensors) made.dispose();
    }
  }
}
