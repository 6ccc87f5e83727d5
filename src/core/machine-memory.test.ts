import { describe, expect, it } from 'vitest';
import { machineMemory } from './machine-memory.ts';

const GIB = 1024 ** 3;

describe('machineMemory', () => {
  it('is what is installed, or the limit of the container where that is less', () => {
    expect(machineMemory(24 * GIB, 0)).toBe(24 * GIB);
    expect(machineMemory(24 * GIB, 2 ** 64)).toBe(24 * GIB);
    expect(machineMemory(24 * GIB, 4 * GIB)).toBe(4 * GIB);
  });
});
