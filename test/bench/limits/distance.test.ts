import { describe, expect, it } from 'vitest';
import { decodeFloor, prefillFloor } from './distance.ts';

const LIMITS = { bytesPerSecond: 1000, float32PerSecond: 100, int8PerSecond: 400 };
const SIZE = { linearProducts: 10, headProducts: 5, attentionProducts: 1, adapterValuesPerRank: 3 };
const FORM = { weightBytes: 2000, kvBytesPerPosition: 2, adapterBytesPerRank: 9, isFloat32: false };

describe('decodeFloor', () => {
  it('of one row is the time to read weights and cache', () => {
    const { bytes, seconds, boundBy } = decodeFloor({ rows: 1, positions: 10, adapters: null }, SIZE, FORM, LIMITS);
    expect({ bytes, seconds, boundBy }).toEqual({ bytes: 2020, seconds: 2.02, boundBy: 'memory' });
  });

  it('of many rows is the time of their operations at the peak of the form', () => {
    const many = { rows: 1000, positions: 0, adapters: null };
    expect(decodeFloor(many, SIZE, FORM, LIMITS)).toMatchObject({ seconds: 75, boundBy: 'operations' });
    expect(decodeFloor(many, SIZE, { ...FORM, isFloat32: true }, LIMITS).seconds).toBe(300);
  });

  it('counts the bytes of each different adapter once, its operations for every row', () => {
    const without = decodeFloor({ rows: 4, positions: 0, adapters: null }, SIZE, FORM, LIMITS);
    const shared = decodeFloor({ rows: 4, positions: 0, adapters: { count: 2, rank: 8 } }, SIZE, FORM, LIMITS);
    expect(shared.bytes - without.bytes).toBe(2 * 8 * 9);
    expect(shared.operations - without.operations).toBe(2 * 4 * 8 * 3);
  });
});

describe('prefillFloor', () => {
  it('reads the weights once a run and computes one line of logits', () => {
    const { bytes, operations } = prefillFloor(20, 8, SIZE, FORM, LIMITS);
    expect(bytes).toBe(3 * 2000);
    expect(operations).toBe(2 * (20 * (10 + 10) + 5));
  });
});
