// Levels of adapters: int8 A with a scale for each column, made by a graph of the compiled form from an adapter's float32 A. Once for each adapter,
// if it can be beside the calls of rows that decode meanwhile.
import { type PackedAdapter, packedArray } from '../../adapters/packed.ts';
import type { SideLevelsGraph } from '../../models/index.ts';
import {
  type Binding,
  createTensor,
  type ElementType,
  type OrtEnvironment,
  type Session,
  type Tensor,
  type TensorData,
} from '../../runtime/index.ts';
import { keptLevelBytes, type KeptLevels, type LaneLevels, restoreLevels, type SiteLevels } from './kept-levels.ts';

const SCALE_BYTES = Float32Array.BYTES_PER_ELEMENT;

export class SideLevels {
  /** Groups that have levels. */
  readonly groupIds: ReadonlySet<string>;
  readonly #environment: OrtEnvironment;
  readonly #sites: SideLevelsGraph['sites'];
  readonly #session: () => Session;
  /** As long as the host cache has the adapter. */
  readonly #kept = new WeakMap<PackedAdapter, KeptLevels>();

  /** `session` is loaded when it is first needed. */
  constructor(environment: OrtEnvironment, { sites }: SideLevelsGraph, session: () => Session) {
    this.#environment = environment;
    this.#sites = sites;
    this.#session = session;
    this.groupIds = new Set(sites.map(({ group }) => group));
  }

  /** Loads what the first adapter would have to wait for. */
  prepare(): void {
    this.#session();
    this.#environment.apart.start();
  }

  /** Makes the levels of an adapter on another thread, so that no row waits for it when the adapter comes into a lane. */
  async make(adapter: PackedAdapter): Promise<void> {
    if (this.#kept.has(adapter)) return;
    using making = this.#begin(adapter);
    await making.binding.runApart();
    this.#kept.set(adapter, making.levels);
  }

  /** Writes the levels of an adapter into a lane; makes them first if nobody has. */
  fill(adapter: PackedAdapter, lane: readonly LaneLevels[]): void {
    const levels = this.#kept.get(adapter) ?? this.#makeHere(adapter);
    this.#kept.set(adapter, levels);
    restoreLevels(levels, lane);
  }

  #makeHere(adapter: PackedAdapter): KeptLevels {
    using making = this.#begin(adapter);
    making.binding.run();
    return making.levels;
  }

  #begin(adapter: PackedAdapter): Making {
    const making = new Making(this.#environment, this.#session());
    try {
      making.bind(this.#sites, adapter);
    } catch (error) {
      making.dispose();
      throw error;
    }
    return making;
  }
}

/** Bound inputs and outputs of one adapter. */
class Making implements Disposable {
  readonly levels = new Map<string, SiteLevels>();
  readonly binding: Binding;
  readonly #environment: OrtEnvironment;
  readonly #tensors: Tensor[] = [];

  constructor(environment: OrtEnvironment, session: Session) {
    this.#environment = environment;
    this.binding = session.createBinding();
  }

  bind(sites: SideLevelsGraph['sites'], adapter: PackedAdapter): void {
    const known = new Map(adapter.header.sites.map((site) => [site.site, site]));
    const memory = new ArrayBuffer(keptLevelBytes(adapter));
    let offset = 0;
    for (const { site, inFeatures, blockSize } of sites) {
      const own = known.get(site);
      const rank = own?.rank ?? 0;
      const made = {
        levels: new Int8Array(memory, offset + rank * SCALE_BYTES, inFeatures * rank),
        scales: new Float32Array(memory, offset, rank),
      };
      offset += rank * (SCALE_BYTES + inFeatures);
      const shape = [1, inFeatures / blockSize, blockSize, rank];
      this.binding.input(site, this.#tensor('float32', shape, own ? packedArray(adapter, own.a) : new Float32Array()));
      this.binding.output(`${site}.levels`, this.#tensor('int8', shape, made.levels));
      this.binding.output(`${site}.scales`, this.#tensor('float32', [1, 1, 1, rank], made.scales));
      if (own) this.levels.set(site, made);
    }
  }

  dispose(): void {
    this.binding.dispose();
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const made = createTensor(this.#environment, type, shape, data);
    this.#tensors.push(made);
    return made;
  }
}
