// Big files and folders of shards, read range by range; indexes that lie.
import { mkdtemp, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BROKEN_SAFETENSORS } from '../../../test/support/safetensors-bytes.ts';
import { FormatError } from '../format-error.ts';
import { openSafetensorsCheckpoint, parseShardIndex } from './checkpoint.ts';
import { openSafetensorsFile } from './file.ts';
import { float32Tensor } from './values.ts';
import { writeSafetensors } from './write.ts';

const first = float32Tensor('a', [2], Float32Array.of(1, 2));
const second = float32Tensor('b', [1, 2], Float32Array.of(3, 4), 'BF16');

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-safetensors-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function writeShards(weightMap: Record<string, unknown>): Promise<void> {
  await writeFile(join(folder, 'one.safetensors'), writeSafetensors([first]));
  await writeFile(join(folder, 'two.safetensors'), writeSafetensors([second]));
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap }));
}

describe('openSafetensorsFile', () => {
  it('reads single tensors of a file', async () => {
    const path = join(folder, 'x.safetensors');
    await writeFile(path, writeSafetensors([first, second], new Map([['format', 'pt']])));
    const file = await openSafetensorsFile(path);
    expect([...file.metadata]).toEqual([['format', 'pt']]);
    expect(await file.readFloat32('b')).toEqual(Float32Array.of(3, 4));
    expect(await file.readTensor('a')).toEqual(first);
    await expect(file.readTensor('c')).rejects.toThrow(/no tensor "c"/);
    await file.close();
  });

  it('refuses what the reader in memory refuses', async () => {
    const path = join(folder, 'x.safetensors');
    for (const { bytes, message } of BROKEN_SAFETENSORS.filter((broken) => broken.bytes.length < 1000)) {
      await writeFile(path, bytes);
      await expect(openSafetensorsFile(path, { maxRank: 2, headerBytes: 4 << 20 })).rejects.toThrow(message);
    }
  });

  it('says so when the file shrinks after it was opened', async () => {
    const path = join(folder, 'x.safetensors');
    await writeFile(path, writeSafetensors([first]));
    const file = await openSafetensorsFile(path);
    await truncate(path, 12);
    await expect(file.readTensor('a')).rejects.toThrow(/became shorter/);
    await file.close();
  });

  it('refuses a folder', async () => {
    await expect(openSafetensorsFile(folder)).rejects.toThrow(/not a regular file/);
  });
});

describe('openSafetensorsCheckpoint', () => {
  it('reads tensors from the shard that the index names', async () => {
    await writeShards({ a: 'one.safetensors', b: 'two.safetensors' });
    const checkpoint = await openSafetensorsCheckpoint(folder);
    expect([...checkpoint.tensors.keys()].toSorted()).toEqual(['a', 'b']);
    expect(await checkpoint.readFloat32('a')).toEqual(Float32Array.of(1, 2));
    expect(await checkpoint.readTensor('b')).toEqual(second);
    await expect(checkpoint.readTensor('toString')).rejects.toThrow(/no tensor/);
    await checkpoint.close();
  });

  it('prefers the single file', async () => {
    await writeShards({ a: 'one.safetensors', b: 'two.safetensors' });
    await writeFile(join(folder, 'model.safetensors'), writeSafetensors([second]));
    const checkpoint = await openSafetensorsCheckpoint(folder);
    expect([...checkpoint.tensors.keys()]).toEqual(['b']);
    await checkpoint.close();
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a missing shard', { a: 'one.safetensors', b: 'three.safetensors' }, /shard "three.safetensors" is missing/],
    [
      'a tensor that its shard lacks',
      { a: 'one.safetensors', b: 'two.safetensors', c: 'two.safetensors' },
      /"c" is not in "two.safetensors"/,
    ],
    ['a tensor in another shard', { a: 'two.safetensors', b: 'one.safetensors' }, /the index does not say so/],
    ['a tensor that the index leaves out', { a: 'one.safetensors', c: 'two.safetensors' }, /"b" is in "two.safetensors"/],
    ['a path out of the folder', { a: '../one.safetensors' }, /expected a plain name/],
    ['an absolute path', { a: '/one.safetensors' }, /expected a plain name/],
    ['a Windows path', { a: 'sub\\one.safetensors' }, /expected a plain name/],
    ['a hidden file', { a: '.one.safetensors' }, /expected a plain name/],
    ['a NUL in the name', { a: 'one\u0000.safetensors' }, /expected a plain name/],
    ['another file type', { a: 'one.bin' }, /expected a plain name/],
    ['a name that is not a string', { a: 1 }, /not a string/],
    ['no tensors', {}, /empty/],
  ])('refuses an index with %s', async (_, weightMap, message) => {
    await writeShards(weightMap);
    await expect(openSafetensorsCheckpoint(folder)).rejects.toThrow(message);
  });

  it('refuses a folder without weights', async () => {
    await mkdir(join(folder, 'empty'));
    await expect(openSafetensorsCheckpoint(join(folder, 'empty'))).rejects.toThrow(/neither model.safetensors nor/);
  });
});

describe('parseShardIndex', () => {
  it.each(['[]', '{}', '{"weight_map":[]}', '{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}', '{', '\u00ff'])(
    'refuses %j',
    (text) => {
      expect(() => parseShardIndex(Buffer.from(text, 'latin1'))).toThrow(FormatError);
    },
  );
});
