// What every storage driver must do. A driver's test calls `describeStorageContract` with a way to open an empty store.
import { readdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AdapterName, Digest, TenantId } from '../../src/core/index.ts';
import type { KeyRow, Storage } from '../../src/storage/index.ts';
import { digestOf, versionRow } from './rows.ts';
import { describeTrainingStorage } from './training-storage.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const POET = 'poet' as AdapterName;
const CLERK = 'clerk' as AdapterName;

function keyRow(id: string, createdAtMs = 1): KeyRow {
  return { id, tenant: ACME, role: 'admin', secretDigest: digestOf(id), createdAtMs, lastUsedAtMs: null };
}

/** `open` answers an empty store and a way to throw it away. */
export function describeStorageContract(driver: string, open: () => { readonly storage: Storage; readonly dispose: () => void }): void {
  describe(`storage contract: ${driver}`, () => {
    let storage: Storage;
    let dispose: () => void;

    beforeEach(() => {
      ({ storage, dispose } = open());
    });
    afterEach(() => dispose());

    describeVersions(() => storage);
    describePointer(() => storage);
    describeCanary(() => storage);
    describePages(() => storage);
    describeRemoval(() => storage);
    describeKeys(() => storage);
    describeBlobs(() => storage);
    describeTrainingStorage(() => storage);
  });
}

function describeVersions(storage: () => Storage): void {
  it('numbers the versions of each name from 1 and answers them as they were stored', () => {
    const first = storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: false });
    const second = storage().adapters.addVersion(versionRow(ACME, POET, 'two'), { activate: false });
    const other = storage().adapters.addVersion(versionRow(ACME, CLERK, 'one'), { activate: false });
    expect([first.version, second.version, other.version]).toEqual([1, 2, 1]);
    expect(storage().adapters.version(ACME, POET, 2)).toEqual({ ...versionRow(ACME, POET, 'two'), version: 2 });
    expect(storage().adapters.versions(ACME, POET)).toEqual([first, second]);
    expect(storage().adapters.version(ACME, POET, 3)).toBeNull();
  });

  it('answers the files of a version by name, in whatever order they were given', () => {
    const row = versionRow(ACME, POET, 'one');
    const added = storage().adapters.addVersion({ ...row, files: row.files.toReversed() }, { activate: false });
    expect(added.files).toEqual(row.files);
    expect(storage().adapters.version(ACME, POET, 1)?.files).toEqual(row.files);
  });

  it('never shows one tenant the adapters of another', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    expect(storage().adapters.adapter(GLOBEX, POET)).toBeNull();
    expect(storage().adapters.adapters(GLOBEX)).toEqual([]);
    expect(storage().adapters.activeVersions(GLOBEX)).toEqual([]);
    expect(storage().adapters.versions(GLOBEX, POET)).toEqual([]);
    expect(storage().adapters.removeAdapter(GLOBEX, POET)).toBe(false);
    expect(storage().adapters.activate(GLOBEX, POET, 1, 1)).toBeNull();
  });

  it('lists adapters by name, each with its count of versions, and the active versions', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: false });
    storage().adapters.addVersion(versionRow(ACME, POET, 'two'), { activate: true });
    storage().adapters.addVersion(versionRow(ACME, CLERK, 'three'), { activate: false });
    const rows = storage().adapters.adapters(ACME);
    expect(rows.map((row) => [row.name, row.versionCount, row.activeVersion])).toEqual([
      [CLERK, 1, null],
      [POET, 2, 2],
    ]);
    expect(storage().adapters.activeVersions(ACME)).toEqual([{ ...versionRow(ACME, POET, 'two'), version: 2 }]);
  });
}

function describePointer(storage: () => Storage): void {
  it('moves the pointer only from the generation that the caller saw', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.addVersion(versionRow(ACME, POET, 'two'), { activate: false });
    const { generation } = storage().adapters.adapter(ACME, POET) ?? { generation: -1 };
    const moved = storage().adapters.activate(ACME, POET, 2, generation);
    expect(moved).toMatchObject({ activeVersion: 2, generation: generation + 1 });
    expect(storage().adapters.activate(ACME, POET, 1, generation)).toBeNull();
    expect(storage().adapters.adapter(ACME, POET)).toEqual(moved);
  });

  it('does not move the pointer to a version that does not exist', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    expect(storage().adapters.activate(ACME, POET, 2, 1)).toBeNull();
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: 1, generation: 1 });
  });

  it('keeps placement apart from the pointer, and changes only the given part', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.setPlacement(ACME, POET, { pinned: true });
    const row = storage().adapters.setPlacement(ACME, POET, { mode: 'merged' });
    expect(row).toMatchObject({ pinned: true, mode: 'merged', generation: 1 });
    expect(storage().adapters.setPlacement(ACME, CLERK, { pinned: true })).toBeNull();
  });

  it('names the versions in use of placed adapters, with their mode', () => {
    const placed = (): readonly string[] =>
      storage()
        .adapters.placedVersions()
        .map(({ row, mode }) => `${row.name}@${row.version} ${mode}`);
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.addVersion(versionRow(ACME, CLERK, 'two'), { activate: true });
    storage().adapters.addVersion(versionRow(ACME, POET, 'three'), { activate: false });
    expect(placed()).toEqual([]);
    storage().adapters.setPlacement(ACME, POET, { mode: 'merged' });
    storage().adapters.setPlacement(ACME, CLERK, { mode: 'side' });
    expect(placed()).toEqual([`${CLERK}@1 side`, `${POET}@1 merged`]);
    const { generation } = storage().adapters.adapter(ACME, POET) ?? { generation: 0 };
    storage().adapters.activate(ACME, POET, 2, generation, { version: 1, share: 0.5 });
    expect(placed()).toEqual([`${CLERK}@1 side`, `${POET}@1 merged`, `${POET}@2 merged`]);
    storage().adapters.setPlacement(ACME, POET, { mode: 'auto' });
    expect(placed()).toEqual([`${CLERK}@1 side`]);
  });
}

function describeCanary(storage: () => Storage): void {
  const CANARY = { version: 2, share: 0.25 };
  /** Three versions; the first is active, the second its canary. */
  const split = (): void => {
    for (const content of ['one', 'two', 'three']) {
      storage().adapters.addVersion(versionRow(ACME, POET, content), { activate: content === 'one' });
    }
    expect(storage().adapters.activate(ACME, POET, 1, 1, CANARY)).toMatchObject({ activeVersion: 1, canary: CANARY, generation: 2 });
    expect(storage().adapters.adapter(ACME, POET)?.canary).toEqual(CANARY);
    expect(storage().adapters.adapters(ACME)[0]?.canary).toEqual(CANARY);
  };

  it('sets a canary with the pointer, and ends it with the next move or upload', () => {
    split();
    expect(storage().adapters.activate(ACME, POET, 3, 2)).toMatchObject({ activeVersion: 3, canary: null, generation: 3 });
    expect(storage().adapters.activate(ACME, POET, 3, 3, CANARY)?.canary).toEqual(CANARY);
    storage().adapters.addVersion(versionRow(ACME, POET, 'staged'), { activate: false });
    expect(storage().adapters.adapter(ACME, POET)?.canary).toEqual(CANARY);
    storage().adapters.addVersion(versionRow(ACME, POET, 'four'), { activate: true });
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: 5, canary: null, generation: 5 });
  });

  it('takes no canary that is missing or the active version, and moves nothing then', () => {
    split();
    const before = storage().adapters.adapter(ACME, POET);
    expect(storage().adapters.activate(ACME, POET, 3, 2, { version: 3, share: 0.5 })).toBeNull();
    expect(storage().adapters.activate(ACME, POET, 3, 2, { version: 9, share: 0.5 })).toBeNull();
    expect(storage().adapters.activate(ACME, POET, 9, 2, CANARY)).toBeNull();
    expect(storage().adapters.activate(ACME, POET, 3, 1, CANARY)).toBeNull();
    expect(storage().adapters.adapter(ACME, POET)).toEqual(before);
  });

  it('ends the canary with its version, and both pointer and canary with the active one', () => {
    split();
    storage().adapters.removeVersion(ACME, POET, 3);
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ canary: CANARY, generation: 2 });
    storage().adapters.removeVersion(ACME, POET, 2);
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: 1, canary: null, generation: 3 });
    const next = storage().adapters.addVersion(versionRow(ACME, POET, 'four'), { activate: false });
    storage().adapters.activate(ACME, POET, 1, 3, { version: next.version, share: 0.5 });
    storage().adapters.removeVersion(ACME, POET, 1);
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: null, canary: null, generation: 5 });
  });

  it('deactivates once, and keeps the versions', () => {
    split();
    expect(storage().adapters.deactivate(ACME, POET)).toMatchObject({ activeVersion: null, canary: null, generation: 3, versionCount: 3 });
    expect(storage().adapters.deactivate(ACME, POET)).toBeNull();
    expect(storage().adapters.deactivate(ACME, CLERK)).toBeNull();
  });

  it('answers active versions and canaries of pinned adapters, over all tenants', () => {
    split();
    storage().adapters.addVersion(versionRow(GLOBEX, POET, 'one'), { activate: true });
    storage().adapters.addVersion(versionRow(GLOBEX, CLERK, 'one'), { activate: true });
    expect(storage().adapters.pinnedVersions()).toEqual([]);
    storage().adapters.setPlacement(ACME, POET, { pinned: true });
    storage().adapters.setPlacement(GLOBEX, POET, { pinned: true });
    const shown = storage().adapters.pinnedVersions();
    expect(shown.map(({ tenant, name, version }) => `${tenant}/${name}@${version}`)).toEqual([
      'acme/poet@1',
      'acme/poet@2',
      'globex/poet@1',
    ]);
    expect(shown[0]).toEqual(storage().adapters.version(ACME, POET, 1));
    storage().adapters.removeAdapter(ACME, POET);
    storage().adapters.deactivate(GLOBEX, POET);
    expect(storage().adapters.pinnedVersions()).toEqual([]);
  });
}

function describePages(storage: () => Storage): void {
  it('answers adapters and their active versions page by page', () => {
    const names = ['a', 'b', 'c', 'd', 'e'] as AdapterName[];
    for (const name of names.toReversed()) storage().adapters.addVersion(versionRow(ACME, name, name), { activate: name !== 'c' });
    const page = (after: string | undefined, limit: number): readonly string[] =>
      storage()
        .adapters.adapters(ACME, { ...(after !== undefined && { after }), limit })
        .map(({ name }) => name);
    expect([page(undefined, 2), page('b', 2), page('d', 2), page('e', 2), page('bb', 1)]).toEqual([
      ['a', 'b'],
      ['c', 'd'],
      ['e'],
      [],
      ['c'],
    ]);
    const active = storage().adapters.activeVersions(ACME, { after: 'a', through: 'd' });
    expect(active.map(({ name }) => name)).toEqual(['b', 'd']);
  });
}

function describeRemoval(storage: () => Storage): void {
  it('uses no version number and no generation twice, also after removal', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.setPlacement(ACME, POET, { pinned: true, mode: 'side' });
    const before = storage().adapters.adapter(ACME, POET)?.generation ?? 0;
    expect(storage().adapters.removeAdapter(ACME, POET)).toBe(true);
    expect(storage().adapters.removeAdapter(ACME, POET)).toBe(false);
    expect(storage().adapters.adapter(ACME, POET)).toBeNull();
    const again = storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    expect(again.version).toBe(2);
    const after = storage().adapters.adapter(ACME, POET);
    expect(after).toMatchObject({ versionCount: 1, pinned: false, mode: 'auto' });
    expect(after?.generation).toBeGreaterThan(before + 1);
  });

  it('empties the pointer when the active version is removed, and leaves it alone otherwise', () => {
    for (const content of ['one', 'two', 'three']) {
      storage().adapters.addVersion(versionRow(ACME, POET, content), { activate: content === 'two' });
    }
    expect(storage().adapters.removeVersion(ACME, POET, 3)).toBe(true);
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: 2, generation: 1, versionCount: 2 });
    expect(storage().adapters.removeVersion(ACME, POET, 2)).toBe(true);
    expect(storage().adapters.adapter(ACME, POET)).toMatchObject({ activeVersion: null, generation: 2, versionCount: 1 });
    expect(storage().adapters.removeVersion(ACME, POET, 2)).toBe(false);
  });

  it('removes the adapter with its last version', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.removeVersion(ACME, POET, 1);
    expect(storage().adapters.adapter(ACME, POET)).toBeNull();
    expect(storage().adapters.adapters(ACME)).toEqual([]);
  });

  it('knows which digests are referenced, counting versions that share them', () => {
    storage().adapters.addVersion(versionRow(ACME, POET, 'one'), { activate: true });
    storage().adapters.addVersion(versionRow(GLOBEX, POET, 'one'), { activate: true });
    const digests = [digestOf('config'), digestOf('one'), digestOf('packed one')];
    expect([...storage().adapters.referencedDigests()].toSorted()).toEqual(digests.toSorted());
    storage().adapters.removeAdapter(ACME, POET);
    expect(digests.map((digest) => storage().adapters.isReferenced(digest))).toEqual([true, true, true]);
    storage().adapters.removeVersion(GLOBEX, POET, 1);
    expect(digests.map((digest) => storage().adapters.isReferenced(digest))).toEqual([false, false, false]);
    expect(storage().adapters.referencedDigests().size).toBe(0);
  });
}

function describeKeys(storage: () => Storage): void {
  it('stores, touches, lists by age and removes keys', () => {
    storage().keys.add(keyRow('younger', 2));
    storage().keys.add(keyRow('older', 1));
    storage().keys.touch('older', 42);
    storage().keys.touch('missing', 42);
    expect(storage().keys.all()).toEqual([{ ...keyRow('older', 1), lastUsedAtMs: 42 }, keyRow('younger', 2)]);
    expect(storage().keys.remove('older')).toBe(true);
    expect(storage().keys.remove('older')).toBe(false);
    expect(storage().keys.all()).toEqual([keyRow('younger', 2)]);
  });

  it('refuses a second key with the same id or the same secret', () => {
    storage().keys.add(keyRow('one'));
    expect(() => storage().keys.add({ ...keyRow('one'), secretDigest: digestOf('other') })).toThrow(/taken|UNIQUE/);
    expect(() => storage().keys.add({ ...keyRow('two'), secretDigest: digestOf('one') })).toThrow(/taken|UNIQUE/);
    expect(storage().keys.all()).toHaveLength(1);
  });
}

function describeBlobs(storage: () => Storage): void {
  it('stores bytes under their digest and gives them back', async () => {
    const digest = await storage().blobs.put(Buffer.from('hello'));
    expect(digest).toBe(digestOf('hello'));
    expect(storage().blobs.path(digest)).toBe(path.join(storage().blobs.folder, digest.slice(0, 2), digest));
    expect(await readFile(storage().blobs.path(digest), 'utf8')).toBe('hello');
    const opened = storage().blobs.open(digest);
    expect(opened.bytes).toBe(5);
    expect(await text(opened.stream)).toBe('hello');
    expect(storage().blobs.list()).toEqual([digest]);
  });

  it('consumes an adopted file, also when the blob is there already', async () => {
    const temporary = path.join(storage().blobs.temporaryFolder, 'upload');
    for (const round of [1, 2]) {
      writeFileSync(temporary, 'hello');
      expect(await storage().blobs.adopt(temporary), `round ${round}`).toEqual({ digest: digestOf('hello'), bytes: 5 });
      expect(readdirSync(storage().blobs.temporaryFolder)).toEqual([]);
    }
    expect(storage().blobs.list()).toHaveLength(1);
  });

  it('stores the same bytes once when they are put many times at once', async () => {
    const digests = await Promise.all(Array.from({ length: 20 }, () => storage().blobs.put(Buffer.from('same'))));
    expect(new Set(digests).size).toBe(1);
    expect(storage().blobs.list()).toEqual([digestOf('same')]);
    expect(readdirSync(storage().blobs.temporaryFolder)).toEqual([]);
  });

  it('notices a blob whose bytes are not those of its digest, and replaces it when the right ones come', async () => {
    const digest = await storage().blobs.put(Buffer.from('hello'));
    expect(await storage().blobs.isIntact(digest)).toBe(true);
    writeFileSync(storage().blobs.path(digest), 'hellx');
    expect(await storage().blobs.isIntact(digest)).toBe(false);
    await storage().blobs.put(Buffer.from('hello'));
    expect(await readFile(storage().blobs.path(digest), 'utf8')).toBe('hello');
    await storage().blobs.remove(digest);
    expect(await storage().blobs.isIntact(digest)).toBe(false);
  });

  it('removes blobs, and takes the removal of a missing blob for done', async () => {
    const digest = await storage().blobs.put(Buffer.from('hello'));
    await storage().blobs.remove(digest);
    await storage().blobs.remove(digest);
    expect(storage().blobs.has(digest)).toBe(false);
    expect(storage().blobs.list()).toEqual([]);
    expect(() => storage().blobs.open(digest)).toThrow(/ENOENT/);
  });

  it('keeps an opened stream readable after the blob was removed', async () => {
    const digest = await storage().blobs.put(Buffer.from('hello'));
    const { stream } = storage().blobs.open(digest);
    await storage().blobs.remove(digest);
    expect(await text(stream)).toBe('hello');
  });

  it.each(['', '../../etc/passwd', 'A'.repeat(64), `${'a'.repeat(63)}/`, 'a'.repeat(63)])('refuses %j as a digest', (hostile) => {
    expect(() => storage().blobs.path(hostile as Digest)).toThrow(/64 lower-case hexadecimal/);
  });
}
