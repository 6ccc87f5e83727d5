import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../test/contract/rows.ts';
import { fileRow } from '../../test/contract/training-rows.ts';
import { openTinyRegistry } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import type { TenantId } from '../core/index.ts';
import { openMemoryStorage, type Storage } from '../storage/index.ts';
import type { AdapterRegistry } from './port.ts';

const ACME = 'acme' as TenantId;
const root = temporaryFolder();
let count = 0;
let storage: Storage;
let registry: AdapterRegistry;
beforeEach(async () => {
  count += 1;
  storage = openMemoryStorage(join(root, String(count)));
  registry = await openTinyRegistry(storage);
});

const isThere = async (content: string): Promise<boolean> => {
  await registry.settled();
  return existsSync(storage.blobs.path(digestOf(content)));
};

describe('a blob of another room', () => {
  it('goes with its hold when no row names it', async () => {
    const held = await registry.keeper.put(Buffer.from('x'));
    expect([held.digest, held.bytes, await isThere('x')]).toEqual([digestOf('x'), 1, true]);
    held.release();
    held.release();
    expect(await isThere('x')).toBe(false);
  });

  it('stays behind its hold while a row names it, and goes with the last row', async () => {
    const path = join(registry.keeper.temporaryFolder, 'upload');
    writeFileSync(path, 'x');
    const held = await registry.keeper.adopt(path);
    storage.files.add(fileRow(ACME, 'one', 'x'));
    storage.files.add(fileRow(ACME, 'two', 'x'));
    held.release();
    expect([existsSync(path), await isThere('x')]).toEqual([false, true]);
    for (const [id, remains] of [
      ['one', true],
      ['two', false],
    ] as const) {
      storage.files.remove(ACME, id);
      registry.keeper.suspect([digestOf('x')]);
      expect(await isThere('x')).toBe(remains);
    }
  });

  it('outlives its row while it is held', async () => {
    const held = await registry.keeper.put(Buffer.from('x'));
    storage.files.add(fileRow(ACME, 'one', 'x'));
    held.release();
    const endHold = registry.keeper.hold([digestOf('x')]);
    storage.files.remove(ACME, 'one');
    registry.keeper.suspect([digestOf('x')]);
    expect(await isThere('x')).toBe(true);
    endHold();
    expect(await isThere('x')).toBe(false);
  });
});
