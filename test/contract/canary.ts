// The part of the storage contract about canaries, pins and pages of lists.
import { expect, it } from 'vitest';
import type { AdapterName, TenantId } from '../../src/core/index.ts';
import type { Storage } from '../../src/storage/index.ts';
import { versionRow } from './rows.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const POET = 'poet' as AdapterName;
const CLERK = 'clerk' as AdapterName;

export function describeCanary(storage: () => Storage): void {
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

export function describePages(storage: () => Storage): void {
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
