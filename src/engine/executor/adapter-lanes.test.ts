import { describe, expect, it } from 'vitest';
import { decodePacked, encodePacked, type PackedAdapter, type PackedSiteContent } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import type { LoraInputGroup } from '../../models/index.ts';
import { gateUpGroup } from '../../../test/support/gate-up-group.ts';
import { AdapterLanes } from './adapter-lanes.ts';

const IN = 2;
const GATE_UP = gateUpGroup(IN, { a: 'a', ranks: 'ranks', b: ['b0', 'b1'], gain: 'gain', bias: 'bias' });

function content(
  site: string,
  rank: number,
  outFeatures: number,
  value: number,
  extra: Partial<PackedSiteContent> = {},
): PackedSiteContent {
  return { site, rank, a: new Float32Array(IN * rank).fill(value), b: new Float32Array(rank * outFeatures).fill(-value), ...extra };
}

function zeros(count: number): readonly number[] {
  return Array.from({ length: count }, () => 0);
}

function packed(...sites: readonly PackedSiteContent[]): PackedAdapter {
  return decodePacked(encodePacked('0'.repeat(64) as Digest, sites));
}

function laneOf(lanes: AdapterLanes, index: number) {
  const group = lanes.layout?.groups[0];
  if (!group?.a || !group.gain || !group.bias) throw new Error('nothing is laid out');
  return {
    a: [...lanes.lanes(group.a, index, 1)],
    b: group.b.map((input) => [...lanes.lanes(input, index, 1)]),
    gain: [...lanes.lanes(group.gain, index, 1)],
    bias: [...lanes.lanes(group.bias, index, 1)],
  };
}

describe('AdapterLanes', () => {
  it('puts each part into its own columns of A and pads with zeros', () => {
    using lanes = new AdapterLanes([GATE_UP], 2, () => undefined);
    lanes.write(0, packed(content('layers.0.gate', 3, 2, 1), content('layers.0.up', 4, 1, 2)));
    expect(laneOf(lanes, 0).a).toEqual([1, 1, 1, 0, 2, 2, 2, 2, 1, 1, 1, 0, 2, 2, 2, 2]);
    expect(laneOf(lanes, 0).b[1]).toEqual([-2, -2, -2, -2]);
  });

  it('brings free lanes into memory ahead, as many as are kept, and changes nothing there', () => {
    const sum = (parts: ReturnType<typeof laneOf>): number => Object.values(parts).flat(2).length;
    const first = packed(content('layers.0.gate', 3, 2, 1), content('layers.0.up', 4, 1, 2));
    using measured = new AdapterLanes([GATE_UP], 2, () => undefined);
    measured.write(0, first);
    using lanes = new AdapterLanes([GATE_UP], 4, () => undefined, null, 2 * 4 * sum(laneOf(measured, 0)));
    expect(lanes.prepareNext()).toBe(false);
    lanes.write(0, first);
    const [taken, free] = [laneOf(lanes, 0), laneOf(lanes, 1)];
    expect([lanes.prepareNext(), lanes.prepareNext(), lanes.prepareNext()]).toEqual([true, true, false]);
    lanes.clear(0);
    expect(lanes.prepareNext()).toBe(false);
    expect([0, 1, 2, 3].map((lane) => laneOf(lanes, lane))).toEqual([taken, free, free, free]);
  });

  it('leaves lanes without an adapter neutral', () => {
    using lanes = new AdapterLanes([GATE_UP], 2, () => undefined);
    lanes.write(0, packed(content('layers.0.gate', 4, 2, 1, { gain: Float32Array.of(3, 4), bias: Float32Array.of(5, 6) })));
    expect(laneOf(lanes, 0).gain).toEqual([3, 4, 1]);
    expect(laneOf(lanes, 0).bias).toEqual([5, 6, 0]);
    expect(laneOf(lanes, 1)).toMatchObject({ gain: [1, 1, 1], bias: [0, 0, 0], a: zeros(IN * 4) });
  });

  it('forgets everything of a row that left before the next one takes its lane', () => {
    using lanes = new AdapterLanes([GATE_UP], 2, () => undefined);
    const keep = packed(content('layers.0.gate', 4, 2, 7), content('layers.0.up', 4, 1, 7));
    lanes.write(1, keep);
    lanes.write(0, packed(content('layers.0.gate', 4, 2, 1, { gain: Float32Array.of(3, 4), bias: Float32Array.of(5, 6) })));
    lanes.clear(0);
    expect(lanes.profile(0, 1)).toBe('none');
    lanes.write(0, packed(content('layers.0.up', 2, 1, 2)));
    expect(laneOf(lanes, 0)).toMatchObject({ gain: [1, 1, 1], bias: [0, 0, 0], a: [0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0] });
    expect(laneOf(lanes, 1).a).toEqual(Array(IN * 8).fill(7));
    lanes.clear(0);
    lanes.write(0, null);
    expect(laneOf(lanes, 0)).toMatchObject({ gain: [1, 1, 1], bias: [0, 0, 0], a: zeros(IN * 8) });
    lanes.move(1, 0);
    lanes.write(1, null);
    expect([laneOf(lanes, 0).a, laneOf(lanes, 1).a]).toEqual([Array(IN * 8).fill(7), zeros(IN * 8)]);
  });

  it('does not write an adapter again that still lies in the lane', () => {
    using lanes = new AdapterLanes([GATE_UP], 2, () => undefined);
    const adapter = packed(content('layers.0.gate', 4, 2, 1));
    const same = packed(content('layers.0.gate', 4, 2, 1));
    lanes.write(0, adapter);
    const a = lanes.layout?.groups[0]?.a;
    if (!a) throw new Error('nothing is laid out');
    lanes.lanes(a, 0, 1).fill(9);
    lanes.clear(0);
    lanes.write(0, adapter);
    expect(laneOf(lanes, 0).a).toEqual(Array(IN * 4).fill(9));
    // Another object may hold anything.
    lanes.write(0, same);
    expect(laneOf(lanes, 0).a).toEqual(Array(IN * 4).fill(1));
  });

  it('gives the memory of free lanes back beyond what it keeps, and lays nothing out anew', () => {
    let announced = 0;
    // 1 MiB for each unit of rank in a lane.
    const wide: LoraInputGroup = { ...GATE_UP, inFeatures: 2 ** 18, parts: GATE_UP.parts.slice(0, 1) };
    using lanes = new AdapterLanes([wide], 8, () => announced++);
    const value = (lane: number): number | undefined => {
      const a = lanes.layout?.groups[0]?.a;
      return a ? lanes.lanes(a, lane, 1)[100_000] : undefined;
    };
    const adapter = packed({ site: 'layers.0.gate', rank: 32, a: new Float32Array(32 * 2 ** 18).fill(3), b: new Float32Array(64) });
    for (let lane = 0; lane < 8; lane++) lanes.write(lane, adapter);
    announced = 0;
    for (let lane = 0; lane < 8; lane++) lanes.clear(lane);
    // 33 MiB a lane: three fit 128.
    expect(Array.from({ length: 8 }, (_, lane) => value(lane))).toEqual([3, 3, 3, 0, 0, 0, 0, 0]);
    lanes.write(7, adapter);
    expect(value(7)).toBe(3);
    lanes.write(6, null);
    expect([value(6), announced]).toEqual([0, 0]);
  });

  it('shrinks once it has long been larger than the rows need', () => {
    using lanes = new AdapterLanes([GATE_UP], 2, () => undefined);
    const [small, large] = [4, 16].map((rank) => packed(content('layers.0.gate', rank, 2, rank)));
    const ranks = () => lanes.layout?.groups[0]?.partRanks;
    const join = (adapter: PackedAdapter | undefined, count: number): void => {
      for (let row = 0; row < count; row++) {
        lanes.write(0, adapter ?? null);
        lanes.clear(0);
      }
    };
    join(large, 1);
    join(small, 32);
    expect(ranks()).toEqual([16, 0]);
    join(large, 1);
    join(small, 32);
    expect(ranks()).toEqual([16, 0]);
    join(small, 1);
    expect(ranks()).toEqual([4, 0]);
    expect(laneOf(lanes, 0).a).toEqual(Array(IN * 4).fill(4));
  });

  it('announces a new layout before memory goes, and keeps every lane through it', () => {
    let announced = 0;
    using lanes = new AdapterLanes([GATE_UP], 3, () => announced++);
    lanes.write(0, packed(content('layers.0.gate', 4, 2, 1)));
    const before = announced;
    lanes.write(1, packed(content('layers.0.gate', 12, 2, 2)));
    expect(announced).toBe(before + 1);
    expect(laneOf(lanes, 0).a.slice(0, 16)).toEqual([1, 1, 1, 1, ...zeros(12)]);
    lanes.move(1, 2);
    expect(laneOf(lanes, 2).a.slice(0, 12)).toEqual(Array(12).fill(2));
    lanes.clear(2);
    expect(laneOf(lanes, 0).a.slice(0, 4)).toEqual(Array(4).fill(1));
    lanes.dispose();
    expect(lanes.layout).toBeNull();
  });

  it('calls lanes shared only while all of them hold one adapter', () => {
    using lanes = new AdapterLanes([GATE_UP], 3, () => undefined);
    const [one, other] = [1, 2].map((value) => packed(content('layers.0.gate', 4, 2, value)));
    if (!one || !other) throw new Error('two adapters expected');
    expect(lanes.areShared(0, 1)).toBe(false);
    for (const lane of [0, 1]) lanes.write(lane, one);
    expect([lanes.areShared(0, 1), lanes.areShared(0, 2), lanes.areShared(0, 3)]).toEqual([true, true, false]);
    lanes.write(2, other);
    expect([lanes.areShared(0, 3), lanes.areShared(2, 1)]).toEqual([false, true]);
    lanes.write(2, one);
    expect(lanes.areShared(0, 3)).toBe(true);
  });

  it('asks for the full profile only where an adapter needs it', () => {
    using lanes = new AdapterLanes([GATE_UP], 3, () => undefined);
    expect(lanes.profile(0, 3)).toBe('none');
    lanes.write(0, packed(content('layers.0.gate', 4, 2, 1)));
    expect(lanes.profile(0, 3)).toBe('linear');
    lanes.write(2, packed(content('layers.0.gate', 4, 2, 1, { bias: Float32Array.of(1, 1) })));
    expect(lanes.profile(0, 2)).toBe('linear');
    expect(lanes.profile(0, 3)).toBe('full');
    expect(lanes.profile(1, 1)).toBe('none');
  });
});
