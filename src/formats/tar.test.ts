// Archives that the system's tar reads.
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { readTar, writeTar } from './tar.ts';

const FILES = [
  { name: 'empty.json', bytes: new Uint8Array() },
  { name: 'one-block.bin', bytes: new Uint8Array(512).fill(7) },
  { name: 'more.bin', bytes: Uint8Array.from({ length: 1000 }, (_, index) => index) },
];

it('lists and gives back what was put in', () => {
  const archive = writeTar(FILES, Date.UTC(2026, 10, 24));
  expect(archive.length % 512).toBe(0);
  expect(execFileSync('tar', ['-t'], { input: archive, encoding: 'utf8' }).trim().split('\n')).toEqual(FILES.map(({ name }) => name));
  for (const { name, bytes } of FILES) expect([...execFileSync('tar', ['-xO', name], { input: archive })]).toEqual([...bytes]);
});

it('reads what it wrote, and refuses what is cut off or something else', () => {
  const archive = writeTar(FILES, 0);
  expect([...readTar(archive)].map(([name, bytes]) => ({ name, bytes: new Uint8Array(bytes) }))).toEqual(FILES);
  expect(() => readTar(archive.subarray(0, 2000))).toThrow('tar: the archive is cut off');
  expect(() => readTar(archive.subarray(0, 2500))).toThrow('tar: more.bin is cut off');
  const other = archive.slice();
  other[156] = '5'.charCodeAt(0);
  expect(() => readTar(other)).toThrow('something else than plain files');
  expect(readTar(writeTar([], 0)).size).toBe(0);
});
