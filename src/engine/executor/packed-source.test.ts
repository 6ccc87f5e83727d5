// Reading packed adapters: what comes back, how few turns of the event loop it takes, and what is said of files that are lost or damaged.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { fakeAdapter } from '../../../test/support/fake-adapters.ts';
import { refusalOf } from '../../../test/support/refusal.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { encodePacked, packedArray } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import { createPackedSource } from './packed-source.ts';

const folder = temporaryFolder();
const source = createPackedSource(folder);
const DIGEST = 'ab'.repeat(32) as Digest;
const PATH = join(folder, 'ab', DIGEST);
const LARGE_VALUES = 4 * 1024 ** 2;
/** A step of the engine, between two of which the event loop turns once. */
const STEP_MS = 10;

beforeEach(() => {
  rmSync(join(folder, 'ab'), { recursive: true, force: true });
  mkdirSync(join(folder, 'ab'));
});

function writeLarge(): void {
  const a = Float32Array.from({ length: LARGE_VALUES }, (_, index) => index);
  writeFileSync(PATH, encodePacked(DIGEST, [{ site: 'layers.0.q', rank: 1, a, b: Float32Array.of(1, 2) }]));
}

describe('a source of packed adapters', () => {
  it('answers a large file whole, after few steps of an engine that is busy', async () => {
    writeLarge();
    let steps = 0;
    let isLoaded = false;
    const step = (): void => {
      const untilMs = performance.now() + STEP_MS;
      while (performance.now() < untilMs);
      steps += 1;
      if (!isLoaded) setImmediate(step);
    };
    const loading = source.load(DIGEST);
    setImmediate(step);
    const adapter = await loading;
    isLoaded = true;
    const [site] = adapter.header.sites;
    if (site === undefined) throw new Error('no site came back');
    expect(packedArray(adapter, site.a).at(-1)).toBe(LARGE_VALUES - 1);
    expect([...packedArray(adapter, site.b)]).toEqual([1, 2]);
    // Read in pieces of half a megabyte, as fs.readFile does, it would be over 32.
    expect(steps).toBeLessThan(16);
  });

  it.each<readonly [string, RegExp, () => void]>([
    ['missing', /is missing; upload it again/, () => undefined],
    ['a folder', /is missing; upload it again/, () => mkdirSync(PATH)],
    ['empty', /sha256:abababababab\) .* is damaged; upload it again/, () => writeFileSync(PATH, '')],
    ['something else', /is damaged/, () => writeFileSync(PATH, 'x'.repeat(1000))],
    [
      'cut off in its values',
      /is damaged/,
      () => {
        writeLarge();
        truncateSync(PATH, 1000);
      },
    ],
    [
      'cut off in its header',
      /is damaged/,
      () => {
        writeFileSync(PATH, fakeAdapter(1).adapter.bytes);
        truncateSync(PATH, 20);
      },
    ],
  ])('says so when the file is %s', async (_what, message, harm) => {
    harm();
    const refusal = await refusalOf(() => source.load(DIGEST));
    expect(refusal.code).toBe('generation_failed');
    expect(refusal.message).toMatch(message);
  });
});
