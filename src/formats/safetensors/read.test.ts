// The strict reader: what it takes, a corpus of files that it refuses, and random damage.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outcomeOf } from '../../../test/support/outcome.ts';
import { BROKEN_SAFETENSORS, entryText, safetensorsBytes } from '../../../test/support/safetensors-bytes.ts';
import { FormatError } from '../format-error.ts';
import { readSafetensors } from './read.ts';
import { findNonFinite, float32Tensor, tensorToFloat32 } from './values.ts';
import { writeSafetensors } from './write.ts';

describe('readSafetensors', () => {
  it('reads scalars, empty tensors, escapes and padding', () => {
    const header = `{"__metadata__":{"format":"pt"},${entryText('s', '[]', 0, 4)},${entryText('e', '[0,3]', 4, 4)},"\\u0061\\"":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}  \n`;
    const file = readSafetensors(safetensorsBytes(header, Uint8Array.of(0, 0, 0x80, 0x3f, 0x80, 0x3f, 0x80, 0xbf)));
    expect([...file.metadata]).toEqual([['format', 'pt']]);
    expect([...file.tensors.keys()]).toEqual(['s', 'e', 'a"']);
    expect(file.tensors.get('s')?.shape).toEqual([]);
    expect([...file.tensors.values()].map((tensor) => [...tensorToFloat32(tensor)])).toEqual([[1], [], [1, -1]]);
  });

  it('takes tensors in any order of the header', () => {
    const file = readSafetensors(safetensorsBytes(`{${entryText('b', '[1]', 4, 8)},${entryText('a', '[1]', 0, 4)}}`, 8));
    expect([...file.tensors.keys()]).toEqual(['a', 'b']);
  });

  it('takes a file without tensors', () => {
    expect(readSafetensors(safetensorsBytes('{}')).tensors.size).toBe(0);
  });

  it('hands out views, not copies', () => {
    const bytes = safetensorsBytes(`{${entryText('a', '[1]', 0, 4)}}`, 4);
    expect(readSafetensors(bytes).tensors.get('a')?.bytes.buffer).toBe(bytes.buffer);
  });

  it('holds the limits that a caller tightens', () => {
    const bytes = safetensorsBytes(`{${entryText('a', '[1]', 0, 4)}}`, 4);
    expect(() => readSafetensors(bytes, { dtypes: ['F16'] })).toThrow(/expected F16/);
    expect(() => readSafetensors(bytes, { maxRank: 0 })).toThrow(/at most 0/);
    expect(() => readSafetensors(bytes, { tensorCount: 0 })).toThrow(FormatError);
    expect(() => readSafetensors(bytes, { headerBytes: 10 })).toThrow(/at most 10/);
  });

  it.each(BROKEN_SAFETENSORS)('refuses $name', ({ bytes, message }) => {
    expect(() => readSafetensors(bytes)).toThrow(FormatError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });

  it('answers a consistent file or a FormatError whatever bytes are changed, cut or added', () => {
    const good = writeSafetensors(
      [
        float32Tensor('model.q.lora_A.weight', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)),
        float32Tensor('b', [2], Float32Array.of(1, 2), 'F16'),
      ],
      new Map([['format', 'pt']]),
    );
    const damage = fc.record({
      changes: fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
      length: fc.option(fc.nat(good.length + 8), { nil: undefined }),
    });
    fc.assert(
      fc.property(damage, ({ changes, length }) => {
        const bytes = new Uint8Array(length ?? good.length);
        bytes.set(good.subarray(0, bytes.length));
        for (const [index, value] of changes) if (index < bytes.length) bytes[index] = value;
        expect(flaws(bytes)).toEqual([]);
      }),
      { numRuns: 2000, seed: 3 },
    );
  });
});

/** What is wrong with the reader's answer: a refusal must be a FormatError, a file must cover all bytes with whole tensors. */
function flaws(bytes: Uint8Array): readonly string[] {
  const { value: file, error } = outcomeOf(() => readSafetensors(bytes));
  if (file === undefined) return error instanceof FormatError ? [] : [String(error)];
  const tensors = [...file.tensors.values()];
  const coveredBytes = tensors.reduce((sum, tensor) => sum + tensor.bytes.length, 0);
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const torn = tensors.filter((tensor) => tensorToFloat32(tensor).length !== tensor.shape.reduce((product, size) => product * size, 1));
  return [
    ...torn.map(({ name }) => `tensor ${name} is torn`),
    ...(8 + headerBytes + coveredBytes === bytes.length ? [] : ['bytes without a tensor']),
  ];
}

describe('findNonFinite', () => {
  it('finds the first NaN or infinity', () => {
    expect(findNonFinite(Float32Array.of(1, -0, 3.4e38))).toBeUndefined();
    expect(findNonFinite(Float32Array.of(1, NaN, Infinity))).toBe(1);
    expect(findNonFinite(Float32Array.of(-Infinity))).toBe(0);
  });
});
