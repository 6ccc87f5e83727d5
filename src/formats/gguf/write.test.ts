// What is written is read back, by our own reader.
import { expect, it } from 'vitest';
import { parseGguf } from './file.ts';
import { writeGguf, type GgufTensorContent } from './write.ts';

const ONE: GgufTensorContent = { name: 'one', type: 'F16', shape: [1, 3], bytes: Uint8Array.of(0, 0x3c, 0, 0xbc, 0, 0) };
const TWO: GgufTensorContent = { name: 'two', type: 'F32', shape: [2], bytes: new Uint8Array(new Float32Array([0.5, -7]).buffer) };

it('reads back metadata, shapes and values', async () => {
  const file = parseGguf(
    writeGguf(
      new Map<string, string | number>([
        ['a.text', 'größer'],
        ['a.number', 0.1],
      ]),
      [ONE, TWO],
    ),
  );
  expect([...file.metadata]).toEqual([
    ['a.text', 'größer'],
    ['a.number', Math.fround(0.1)],
  ]);
  expect([...file.tensors.values()].map(({ name, type, shape }) => ({ name, type, shape }))).toEqual([
    { name: 'one', type: 'F16', shape: [1, 3] },
    { name: 'two', type: 'F32', shape: [2] },
  ]);
  expect([...(await file.readFloat32('one'))]).toEqual([1, -1, 0]);
  expect([...(await file.readFloat32('two'))]).toEqual([0.5, -7]);
});

it('takes a file without tensors', () => {
  expect(parseGguf(writeGguf(new Map(), [])).tensors.size).toBe(0);
});

it('refuses a name twice and bytes that do not fill the shape', () => {
  expect(() => writeGguf(new Map(), [ONE, ONE])).toThrow('used twice');
  expect(() => writeGguf(new Map(), [{ ...TWO, shape: [3] }])).toThrow('F32 of shape [3] needs 12 bytes, got 8');
});
