// Levels of adapters: int8 A with a scale for each column, made by a graph of the compiled form from an adapter's float32 A. Once for each adapter,
// if it can be beside the calls of rows that decode meanwhile.
import { type PackedAdapter, packedArray } from '../../adapters/packed.ts';
import type { SideLevelsGraph } from '../../models/index.ts';
import type { NamedData, Session } from '../../runtime/index.ts';
import { keptLevelBytes, type KeptLevels, type LaneLevels, restoreLevels } from './kept-levels.ts';

export class SideLevels {
  /** Groups that have levels. */
  readonly groupIds: ReadonlySet<string>;
  readonly #sites: SideLevelsGraph['sites'];
  readonly #session: () => Session;
  /** As long as the host cache has the adapter. */
  readonly #kept = new WeakMap<PackedAdapter, KeptLevels>();

  /** `session` is loaded when it is first needed. */
  constructor({ sites }: SideLevelsGraph, session: () => Session) {
    this.#sites = sites;
    this.#session = session;
    this.groupIds = new Set(sites.map(({ group }) => group));
  }

  /** Loads what the first adapter would have to wait for. */
  prepare(): void {
    this.#session();
  }

  /** Makes the levels of an adapter on another thread, so that no row waits for it when the adapter comes into a lane. */
  async make(adapter: PackedAdapter): Promise<void> {
    if (this.#kept.has(adapter)) return;
    const { inputs, outputs, levels } = this.#plan(adapter);
    await this.#session().runApart(inputs, outputs);
    this.#kept.set(adapter, levels);
  }

  /** Writes the levels of an adapter into a lane; makes them first if nobody has. */
  fill(adapter: PackedAdapter, lane: readonly LaneLevels[]): void {
    const levels = this.#kept.get(adapter) ?? this.#makeHere(adapter);
    this.#kept.set(adapter, levels);
    restoreLevels(levels, lane);
  }

  #makeHere(adapter: PackedAdapter): KeptLevels {
    const { inputs, outputs, levels } = this.#plan(adapter);
    this.#session().run(inputs, outputs);
    return levels;
  }

  #plan(adapter: PackedAdapter): {
    readonly inputs: readonly NamedData[];
    readonly outputs: readonly NamedData[];
    readonly levels: KeptLevels;
  } {
    const known = new Map(adapter.header.sites.map((site) => [site.site, site]));
    const memory = new ArrayBuffer(keptLevelBytes(adapter));
    let offset = 0;
    const sites = this.#sites.map(({ site, inFeatures, blockSize }) => {
      const own = known.get(site);
      const rank = own?.rank ?? 0;
      const scales = new Float32Array(memory, offset, rank);
      const levels = new Int8Array(memory, offset + scales.byteLength, inFeatures * rank);
      offset += scales.byteLength + levels.byteLength;
      const a = own ? packedArray(adapter, own.a) : new Float32Array();
      return { site, shape: [1, inFeatures / blockSize, blockSize, rank], a, levels, scales };
    });
    return {
      inputs: sites.map(({ site, shape, a }) => ({ name: site, type: 'float32', shape, data: a })),
      outputs: sites.flatMap(({ site, shape, levels, scales }): readonly NamedData[] => [
        { name: `${site}.levels`, type: 'int8', shape, data: levels },
        { name: `${site}.scales`, type: 'float32', shape: [1, 1, 1, scales.length], data: scales },
      ]),
      levels: new Map(sites.filter(({ site }) => known.has(site)).map(({ site, levels, scales }) => [site, { levels, scales }])),
    };
  }
}
