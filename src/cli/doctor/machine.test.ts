import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { checkDisk, checkMemory, checkNode, checkProcessor, checkPython } from './machine.ts';

const GIB = 1024 ** 3;

describe('doctor, the machine', () => {
  it.each([
    ['20.18.3', 'fail'],
    ['18.20.0', 'fail'],
    ['20.19.0', 'ok'],
    ['22.0.0', 'ok'],
  ])('judges Node %s as %s', (version, state) => {
    expect(checkNode(version).state).toBe(state);
  });

  it('names the instruction sets that kernels use, and misses AVX2', () => {
    expect(checkProcessor(new Set(['fpu', 'avx2', 'avx512f', 'avx512_vnni'])).detail).toContain('AVX2, AVX-512, VNNI');
    expect(checkProcessor(new Set(['fpu', 'sse2']))).toMatchObject({
      state: 'warn',
      nextStep: 'expect slow answers: the fast kernels need AVX2',
    });
  });

  it('warns of a small memory with what to change', () => {
    expect(checkMemory(8 * GIB, GIB)).toMatchObject({ state: 'ok', detail: '8.0 GiB, 1.0 GiB free' });
    expect(checkMemory(GIB, GIB / 2)).toMatchObject({ state: 'warn' });
  });

  it('warns when a command is missing, because only one way to the model needs it', async () => {
    expect(await checkPython('no-such-python-command')).toMatchObject({ state: 'warn' });
  });

  it('reads the free space of a folder', async () => {
    expect((await checkDisk(tmpdir())).detail).toContain(`free at ${tmpdir()}`);
  });
});
