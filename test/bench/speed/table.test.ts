import { describe, expect, it } from 'vitest';
import { Samples } from './samples.ts';
import { speedTable } from './table.ts';
import { makeWorkloads } from './workloads.ts';

const workloads = makeWorkloads(
  Array.from({ length: 2000 }, (_, id) => id),
  [1],
).filter(({ name }) => ['decode 1 row', 'decode 16 rows', '16 rows, 16 adapters of rank 16'].includes(name));

const SIDES = [
  { name: 'ours int8', isOurs: true, weights: 'int8' },
  { name: 'slow', isOurs: false, weights: 'as in the file' },
  { name: 'fast', isOurs: false, weights: 'as in the file' },
];

function table() {
  const samples = new Samples();
  const put = (side: string, workload: string, ...values: number[]): void =>
    void samples.cell(side, workload).tokensPerSecond.push(...values);
  put('ours int8', 'decode 1 row', 100, 50);
  put('slow', 'decode 1 row', 20, 10);
  put('fast', 'decode 1 row', 50, 25);
  put('ours int8', 'decode 16 rows', 200, 100);
  put('slow', 'decode 16 rows', 100, 50);
  samples.cell('fast', 'decode 16 rows').reason = 'does not run here';
  put('ours int8', '16 rows, 16 adapters of rank 16', 150, 75);
  for (const side of ['slow', 'fast']) samples.cell(side, '16 rows, 16 adapters of rank 16').reason = 'one adapter a batch';
  return speedTable({ sides: SIDES, workloads, samples, meanKlOf: () => 0.0028, shareOfLimit: () => 0.5 });
}

describe('speedTable', () => {
  it('compares within rounds, with the fastest peer that has a figure', () => {
    const [, one, sixteen] = table().rows;
    expect(one?.[4]).toBe('2.00 (2.00–2.00) × fast');
    expect(sixteen?.[4]).toBe('2.00 (2.00–2.00) × slow');
  });

  it('compares a mix of adapters with our own rows without adapters where no peer has it', () => {
    expect(table().rows[3]?.[4]).toBe('0.75 (0.75–0.75) of own base');
  });

  it('says once why a side has no figure', () => {
    const { rows, notes } = table();
    expect(rows[2]?.[3]).toBe('– [1]');
    expect(notes).toEqual(['[1] fast: does not run here', '[2] slow: one adapter a batch', '[3] fast: one adapter a batch']);
  });

  it('states precision and KL of ours with the figures', () => {
    expect(table().rows[0]).toEqual(['weights', 'int8, KL 0.0028', 'as in the file', 'as in the file', '', '']);
  });
});
