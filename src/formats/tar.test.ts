// Archives that the system's tar reads.
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { writeTar } from './tar.ts';

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
