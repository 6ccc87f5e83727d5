// The writer: the reference library's bytes, and a round trip over anything.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { readSafetensors } from './read.ts';
import type { SafetensorsDtype } from './tensor.ts';
import { float32Tensor, tensorToFloat32 } from './values.ts';
import { writeSafetensors } from './write.ts';
import { writeSafetensorsFile } from './write-file.ts';

/** safetensors 0.8.0 (Python), `serialize` of the tensors below with metadata {"format": "pt"}. */
const REFERENCE_BASE64 =
  'YAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJiLnNpbmdsZSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbXSwiZGF0YV9vZmZzZXRzIjpbMCw0XX0s' +
  'Im0uc2luZ2xlIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsyLDFdLCJkYXRhX29mZnNldHMiOls0LDEyXX0sImEuYnJhaW4iOnsiZHR5cGUiOiJCRjE2Iiwic2hhcGUiOlsx' +
  'LDJdLCJkYXRhX29mZnNldHMiOlsxMiwxNl19LCJ6LmhhbGYiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOlsxNiwyMl19LCLDvG7Dry5cInF1' +
  'b3RlZFwiIjp7ImR0eXBlIjoiRjE2Iiwic2hhcGUiOlsxXSwiZGF0YV9vZmZzZXRzIjpbMjIsMjRdfX0gICAgAABAQAAAwD/NzMy9gD8gwQA8AMD/ewA4';

const referenceTensors = [
  float32Tensor('z.half', [3], Float32Array.of(1, -2, 65504), 'F16'),
  float32Tensor('a.brain', [1, 2], Float32Array.of(1, -10), 'BF16'),
  float32Tensor('m.single', [2, 1], Float32Array.of(1.5, -0.1)),
  float32Tensor('b.single', [], Float32Array.of(3)),
  float32Tensor('ünï."quoted"', [1], Float32Array.of(0.5), 'F16'),
];

describe('writeSafetensors', () => {
  it('writes the bytes of the reference library, whatever the order of its input', () => {
    const written = writeSafetensors(referenceTensors, new Map([['format', 'pt']]));
    expect(Buffer.from(written).toString('base64')).toBe(REFERENCE_BASE64);
    expect(writeSafetensors(referenceTensors.toReversed(), new Map([['format', 'pt']]))).toEqual(written);
  });

  it('begins the data at a multiple of 8', () => {
    for (let length = 1; length < 12; length += 1) {
      const written = writeSafetensors([float32Tensor('n'.repeat(length), [], Float32Array.of(1))]);
      expect(new DataView(written.buffer).getBigUint64(0, true) % 8n).toBe(0n);
    }
  });

  it('is undone by the reader, for any names, shapes, types and metadata', () => {
    const name = fc.stringMatching(/^t[a-z0-9_.é🦜-]{0,19}$/u);
    const tensor = fc.record({
      name,
      dtype: fc.constantFrom<SafetensorsDtype>('F32', 'F16', 'BF16'),
      shape: fc.array(fc.nat(4), { maxLength: 2 }),
      seed: fc.integer(),
    });
    const tensors = fc.uniqueArray(tensor, { selector: (item) => item.name, maxLength: 8 });
    fc.assert(
      fc.property(tensors, fc.dictionary(name, fc.string({ unit: 'grapheme' })), (specs, metadata) => {
        const written = specs.map(({ name: tensorName, dtype, shape, seed }) => {
          const count = shape.reduce((product, size) => product * size, 1);
          return float32Tensor(
            tensorName,
            shape,
            Float32Array.from({ length: count }, (_, index) => Math.sin(seed + index)),
            dtype,
          );
        });
        const file = readSafetensors(writeSafetensors(written, new Map(Object.entries(metadata))));
        expect(Object.fromEntries(file.metadata)).toEqual(metadata);
        expect(file.tensors.size).toBe(written.length);
        for (const { name: tensorName, dtype, shape, bytes } of written) {
          const read = file.tensors.get(tensorName);
          expect(read && { dtype: read.dtype, shape: read.shape, values: tensorToFloat32(read) }).toEqual({
            dtype,
            shape,
            values: tensorToFloat32({ dtype, bytes }),
          });
        }
      }),
      { seed: 4 },
    );
  });

  it('refuses names that are used twice or reserved, and bytes that do not fill the shape', () => {
    const one = float32Tensor('a', [1], Float32Array.of(1));
    expect(() => writeSafetensors([one, one])).toThrow(/"a" is used twice/);
    for (const name of ['__metadata__', 'constructor', 'a.__proto__'])
      expect(() => writeSafetensors([{ ...one, name }])).toThrow(/reserved/);
    expect(() => writeSafetensors([{ ...one, shape: [2] }])).toThrow(/needs 8 bytes, got 4/);
  });

  it('writes a file tensor after tensor with the same bytes', async () => {
    const tensors = [float32Tensor('a', [2, 3], Float32Array.of(1, -2, 3, 0.5, 0, 7)), float32Tensor('b', [1], Float32Array.of(9))];
    const read = (tensorName: string): Promise<Float32Array> => {
      const tensor = tensors.find((each) => each.name === tensorName);
      return Promise.resolve(tensor === undefined ? new Float32Array() : tensorToFloat32(tensor));
    };
    const path = join(temporaryFolder(), 'model.safetensors');
    await writeSafetensorsFile(path, 'F32', tensors, read);
    expect(Buffer.compare(readFileSync(path), writeSafetensors(tensors, new Map([['format', 'pt']])))).toBe(0);
    const wrong = writeSafetensorsFile(`${path}.2`, 'F32', [{ name: 'c', shape: [2] }], read);
    await expect(wrong).rejects.toThrow('writing c: got 0 bytes, expected 8');
  });
});
