// The reader against a file that gguf-py wrote, a corpus of broken files, and random damage.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BROKEN_GGUF } from '../../../test/support/broken-gguf.ts';
import { GGUF_VALUE, ggufBytes, uint32Pair } from '../../../test/support/gguf-bytes.ts';
import { outcomeOf } from '../../../test/support/outcome.ts';
import { FormatError } from '../format-error.ts';
import { openGguf, parseGguf } from './file.ts';

const FIXTURE = fileURLToPath(new URL('../../../test/fixtures/gguf/blocks.gguf', import.meta.url));
const F32 = 0;
const SEED = 20261123;

async function withFile<Result>(bytes: Uint8Array, use: (path: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-gguf-'));
  try {
    const path = join(folder, 'model.gguf');
    await writeFile(path, bytes);
    return await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('a file of gguf-py', () => {
  it('gives every kind of metadata value', () => {
    const { version, alignment, metadata } = parseGguf(readFileSync(FIXTURE));
    expect({ version, alignment, ...Object.fromEntries(metadata) }).toEqual({
      version: 3,
      alignment: 32,
      'general.architecture': 'llama',
      'test.uint32': 4_000_000_000,
      'test.int32': -7,
      'test.float32': Math.fround(0.1),
      'test.float64': 0.1,
      'test.uint64': 9_223_372_036_854_775_809n,
      'test.bool': true,
      'test.string': 'naïve 🦜',
      'test.strings': ['', 'Ġthe', '🦜'],
      'test.floats': [1.5, -0.25],
      'test.ints': [1, -2, 3],
      'test.bools': [true, false],
    });
  });

  it('names types and gives shapes in NumPy order', () => {
    const { tensors } = parseGguf(readFileSync(FIXTURE));
    expect(tensors.size).toBe(20);
    expect(tensors.get('Q4_K')).toMatchObject({ type: 'Q4_K', shape: [4, 1024], valueCount: 4096, byteLength: 2304 });
    expect(tensors.get('Q4_K.expected')).toMatchObject({ type: 'F32', shape: [4, 1024], byteLength: 16_384 });
  });

  it.each(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K', 'F16', 'BF16'])(
    'dequantises %s to the same bits',
    async (type) => {
      const file = await openGguf(FIXTURE);
      const bits = async (name: string): Promise<Uint32Array> => new Uint32Array((await file.readFloat32(name)).buffer);
      expect(file.tensors.get(type)?.type).toBe(type);
      expect(await bits(type)).toEqual(await bits(`${type}.expected`));
      await file.close();
    },
  );
});

describe('openGguf', () => {
  it('reads headers longer than its first read', async () => {
    const longText = 'x'.repeat(3 << 20);
    const bytes = ggufBytes({
      version: 2,
      pairs: [(out) => out.string('long').u32(GGUF_VALUE.string).string(longText), uint32Pair('after', 5)],
      tensors: [{ name: 'a', dimensions: [3], typeId: F32, offset: 0 }],
      dataBytes: 12,
    });
    await withFile(bytes, async (path) => {
      const file = await openGguf(path);
      expect(file.version).toBe(2);
      expect(file.metadata.get('long')).toBe(longText);
      expect(file.metadata.get('after')).toBe(5);
      expect(await file.readFloat32('a')).toEqual(new Float32Array(3));
      await expect(file.readTensor('b')).rejects.toThrow(/no tensor "b"/);
      await file.close();
      await expect(openGguf(path, { headerBytes: 2 << 20 })).rejects.toThrow(/longer than 2097152 bytes/);
    });
  });

  it('refuses a file of which the end is missing', async () => {
    const bytes = readFileSync(FIXTURE);
    await withFile(bytes.subarray(0, bytes.length - 4096), async (path) => {
      await expect(openGguf(path)).rejects.toThrow(/of a file of/);
    });
  });
});

describe('parseGguf', () => {
  it('takes alignments other than 32, scalars, empty tensors and a last tensor without padding', () => {
    const file = parseGguf(
      ggufBytes({
        alignment: 64,
        pairs: [uint32Pair('general.alignment', 64)],
        tensors: [
          { name: 'b', dimensions: [3], typeId: F32, offset: 64 },
          { name: 'a', dimensions: [], typeId: F32, offset: 0 },
          { name: 'c', dimensions: [0, 5], typeId: F32, offset: 128 },
        ],
        dataBytes: 128,
      }),
    );
    expect([...file.tensors.values()].map(({ name, shape, byteLength, offset }) => [name, shape, byteLength, offset % 64])).toEqual([
      ['a', [], 4, 0],
      ['b', [3], 12, 0],
      ['c', [5, 0], 0, 0],
    ]);
  });

  it.each(BROKEN_GGUF)('refuses $name', ({ bytes, message }) => {
    expect(() => parseGguf(bytes)).toThrow(FormatError);
    expect(() => parseGguf(bytes)).toThrow(message);
  });

  it('refuses a tensor whose type it cannot dequantise only when it is read', async () => {
    const file = parseGguf(ggufBytes({ tensors: [{ name: 'a', dimensions: [256], typeId: 10, offset: 0 }], dataBytes: 84 }));
    expect((await file.readTensor('a')).length).toBe(84);
    await expect(file.readFloat32('a')).rejects.toThrow(/Q2_K is not supported; expected one of F32, F16/);
  });

  it('answers a file whose tensors lie inside it or a FormatError, whatever bytes are changed or cut', () => {
    const good = ggufBytes({
      pairs: [
        uint32Pair('general.alignment', 32),
        (out) => out.string('list').u32(GGUF_VALUE.array).u32(GGUF_VALUE.string).u64(1).string('x'),
      ],
      tensors: [
        { name: 'a', dimensions: [32], typeId: 2, offset: 0 },
        { name: 'b', dimensions: [4, 2], typeId: F32, offset: 32 },
      ],
      dataBytes: 64,
    });
    const change = fc.tuple(fc.nat(good.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.option(fc.nat(good.length), { nil: good.length }), (changes, length) => {
        const bytes = good.slice(0, length);
        for (const [index, value] of changes) if (index < bytes.length) bytes[index] = value;
        expect(flaws(bytes)).toEqual([]);
      }),
      { numRuns: 3000, seed: SEED },
    );
  });
});

/** What is wrong with the reader's answer: a refusal must be a FormatError, tensors must lie apart and inside the file. */
function flaws(bytes: Uint8Array): readonly string[] {
  const { value: file, error } = outcomeOf(() => parseGguf(bytes));
  if (file === undefined) return error instanceof FormatError ? [] : [String(error)];
  const tensors = [...file.tensors.values()];
  const ends = tensors.map(({ offset, byteLength }) => offset + byteLength);
  const stray = tensors.filter(({ offset }, index) => offset < (ends[index - 1] ?? 0) || (ends[index] ?? 0) > bytes.length);
  return stray.map(({ name }) => `tensor ${name} lies outside`);
}
