// Levels of adapters: int8 A with a scale for each column, made by a graph of the compiled form from an adapter's float32 A. Once for each adapter,
// if it can be beside the calls of rows that decode meanwhile.
import { type PackedAdapter, packedArray } from '../../adapters/packed.ts';
import type { LevelStack, SideLevelsGraph } from '../../models/index.ts';
import type { NamedData, Session } from '../../runtime/index.ts';
import { type KeptLevels, type LaneLevels, restoreLevels, type SiteLevels } from './kept-levels.ts';

export class SideLevels {
  /** Groups that have levels. */
  readonly groupIds: ReadonlySet<string>;
  readonly #stacks: readonly LevelStack[];
  readonly #session: () => Session;
  /** As long as the host cache has the adapter. */
  readonly #kept = new WeakMap<PackedAdapter, KeptLevels>();

  /** `session` is loaded when it is first needed. */
  constructor({ stacks, groupIds }: SideLevelsGraph, session: () => Session) {
    this.#stacks = stacks;
    this.#session = session;
    this.groupIds = new Set(groupIds);
  }

  /** Loads what the first adapter would have to wait for. */
  prepare(): void {
    this.#session();
  }

  /** Makes the levels of an adapter on another thread, so that no row waits for it when the adapter comes into a lane. */
  async make(adapter: PackedAdapter): Promise<void> {
    if (this.#kept.has(adapter)) return;
    const { runs, levels } = this.#plan(adapter);
    for (const { inputs, outputs } of runs) await this.#session().runApart(inputs, outputs);
    this.#kept.set(adapter, levels);
  }

  /** Writes the levels of an adapter into a lane; makes them first if nobody has. */
  fill(adapter: PackedAdapter, lane: readonly LaneLevels[]): void {
    const levels = this.#kept.get(adapter) ?? this.#makeHere(adapter);
    this.#kept.set(adapter, levels);
    restoreLevels(levels, lane);
  }

  #makeHere(adapter: PackedAdapter): KeptLevels {
    const { runs, levels } = this.#plan(adapter);
    for (const { inputs, outputs } of runs) this.#session().run(inputs, outputs);
    return levels;
  }

  /** One run for each rank that the adapter has; nearly always one. */
  #plan(adapter: PackedAdapter): { readonly runs: readonly LevelRun[]; readonly levels: KeptLevels } {
    const levels = new Map<string, SiteLevels>();
    const ranks = new Set(adapter.header.sites.map(({ rank }) => rank).filter((rank) => rank > 0));
    const runs = [...ranks].map((rank): LevelRun => {
      const stacks = this.#stacks.map((stack) => planStack(adapter, stack, rank));
      for (const { bySite } of stacks) for (const [site, made] of bySite) levels.set(site, made);
      return { inputs: stacks.flatMap(({ inputs }) => inputs), outputs: stacks.flatMap(({ outputs }) => outputs) };
    });
    return { runs, levels };
  }
}

interface LevelRun {
  readonly inputs: readonly NamedData[];
  readonly outputs: readonly NamedData[];
}

/** The sites of a stack that have this rank; where there are none zeros, since ONNX Runtime multiplies no stack of no matrices. */
function planStack(
  adapter: PackedAdapter,
  { name, inFeatures, blockSize, sites }: LevelStack,
  rank: number,
): LevelRun & { readonly bySite: KeptLevels } {
  const ofRank = new Map(adapter.header.sites.filter((site) => site.rank === rank).map((site) => [site.site, site]));
  const present = sites.flatMap((site, id) => {
    const own = ofRank.get(site);
    return own ? [{ site, id, a: packedArray(adapter, own.a) }] : [];
  });
  const count = Math.max(1, present.length);
  const shape = [count, inFeatures / blockSize, blockSize, rank];
  const levels = new Int8Array(new ArrayBuffer(count * inFeatures * rank));
  const scales = new Float32Array(new ArrayBuffer(count * rank * Float32Array.BYTES_PER_ELEMENT));
  const part = <Values extends Int8Array | Float32Array>(values: Values, index: number): Values => {
    const length = values.length / count;
    return values.subarray(index * length, (index + 1) * length) as Values;
  };
  return {
    inputs: [
      {
        name: `${name}.a`,
        type: 'float32',
        shape,
        data: present.length > 0 ? present.map(({ a }) => a) : new Float32Array(inFeatures * rank),
      },
      {
        name: `${name}.ids`,
        type: 'int64',
        shape: [count],
        data: BigInt64Array.from({ length: count }, (_, index) => BigInt(present[index]?.id ?? 0)),
      },
    ],
    outputs: [
      { name: `${name}.levels`, type: 'int8', shape, data: levels },
      { name: `${name}.scales`, type: 'float32', shape: [count, 1, 1, rank], data: scales },
    ],
    bySite: new Map(present.map(({ site }, index) => [site, { levels: part(levels, index), scales: part(scales, index) }])),
  };
}
