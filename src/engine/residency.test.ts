import { describe, expect, it } from 'vitest';
import { fakeAdapter, HeldAdapterSource } from '../../test/support/fake-adapters.ts';
import { ManualClock } from '../../test/support/engine-harness.ts';
import type { PackedAdapter } from '../adapters/packed.ts';
import { AdapterResidency } from './residency.ts';

const [FIRST, SECOND, THIRD] = [fakeAdapter(1), fakeAdapter(2), fakeAdapter(3)] as const;
const ONE = FIRST.adapter.bytes.byteLength;

function setUp(budgetBytes: number, keptBytes = 0) {
  const clock = new ManualClock();
  const source = new HeldAdapterSource([FIRST, SECOND, THIRD]);
  const residency = new AdapterResidency(source, clock, budgetBytes, { prepare: () => Promise.resolve(), bytes: () => keptBytes });
  const load = async ({ digest }: typeof FIRST) => {
    const loading = residency.load(digest);
    if (source.pending.includes(digest)) source.succeed(digest);
    return loading;
  };
  return { clock, source, residency, load };
}

describe('adapter residency', () => {
  it('loads a digest once for all who ask meanwhile', async () => {
    const { source, residency } = setUp(10 * ONE);
    const leases = [residency.load(FIRST.digest), residency.load(FIRST.digest), residency.load(FIRST.digest)];
    expect(source.loadCount).toBe(1);
    source.succeed(FIRST.digest);
    for (const lease of await Promise.all(leases)) expect(lease.adapter).toBe(FIRST.adapter);
    expect(residency.list()).toMatchObject([{ digest: FIRST.digest, bytes: ONE, leases: 3 }]);
    expect(residency.misses).toBe(3);
  });

  it('never evicts what is leased, even beyond the budget, and keeps the waiting of a load counted as leases', async () => {
    const { residency, load } = setUp(ONE);
    const leases = [await load(FIRST), await load(SECOND)];
    expect(residency.bytes).toBe(2 * ONE);
    leases[0]?.release();
    expect(residency.leaseResident(FIRST.digest)).toBeNull();
    expect(residency.bytes).toBe(ONE);
  });

  it('evicts the idle one that was used longest ago', async () => {
    const { residency, load } = setUp(2 * ONE);
    for (const adapter of [FIRST, SECOND]) (await load(adapter)).release();
    residency.leaseResident(FIRST.digest)?.release();
    (await load(THIRD)).release();
    expect(
      residency
        .list()
        .map(({ digest }) => digest)
        .sort(),
    ).toEqual([FIRST.digest, THIRD.digest].sort());
  });

  it('counts a lease once however often it is released', async () => {
    const { residency, load } = setUp(10 * ONE);
    const [one, two] = [await load(FIRST), await load(FIRST)];
    one?.release();
    one?.release();
    expect(residency.list()).toMatchObject([{ leases: 1 }]);
    two?.release();
    expect(residency.list()).toMatchObject([{ leases: 0 }]);
  });

  it('forgets a failed load, so that the next one tries again', async () => {
    const { source, residency, load } = setUp(10 * ONE);
    const failing = residency.load(FIRST.digest);
    source.fail(FIRST.digest, new Error('damaged'));
    await expect(failing).rejects.toThrow('damaged');
    expect((await load(FIRST)).adapter).toBe(FIRST.adapter);
    expect(source.loadCount).toBe(2);
  });

  it('counts for each adapter who found it in memory since it was loaded', async () => {
    const { residency, load } = setUp(ONE);
    (await load(FIRST)).release();
    for (let lease = 0; lease < 3; lease += 1) residency.leaseResident(FIRST.digest)?.release();
    expect(residency.list()).toMatchObject([{ digest: FIRST.digest, hits: 3 }]);
    (await load(SECOND)).release();
    (await load(FIRST)).release();
    expect(residency.list()).toMatchObject([{ digest: FIRST.digest, hits: 0 }]);
  });

  it('counts what is kept beside an adapter against the budget', async () => {
    const { residency, load } = setUp(2 * ONE + 1, 1);
    (await load(FIRST)).release();
    expect(residency.bytes).toBe(ONE + 1);
    (await load(SECOND)).release();
    expect(residency.list()).toMatchObject([{ digest: SECOND.digest, bytes: ONE + 1 }]);
  });

  it('survives a source that throws instead of rejecting', async () => {
    const residency = new AdapterResidency(
      {
        load: () => {
          throw new Error('at once');
        },
      },
      new ManualClock(),
      ONE,
    );
    await expect(residency.load(FIRST.digest)).rejects.toThrow('at once');
    await expect(residency.load(FIRST.digest)).rejects.toThrow('at once');
  });

  it('has an adapter loaded when what belongs to it is made, or not at all', async () => {
    const source = new HeldAdapterSource([FIRST]);
    const made: PackedAdapter[] = [];
    const prepare = async (adapter: PackedAdapter): Promise<void> => {
      await Promise.resolve();
      made.push(adapter);
      if (made.length > 1) throw new Error('not this time');
    };
    const residency = new AdapterResidency(source, new ManualClock(), 0, { prepare, bytes: () => 0 });
    const load = async () => {
      const loading = residency.load(FIRST.digest);
      source.succeed(FIRST.digest);
      return await loading;
    };
    const lease = await load();
    expect(made).toEqual([FIRST.adapter]);
    lease.release();
    await expect(load()).rejects.toThrow('not this time');
    expect(residency.list()).toEqual([]);
  });

  it('keeps nothing idle without a budget, and measures how long a load took', async () => {
    const { clock, source, residency } = setUp(0);
    const loading = residency.load(FIRST.digest);
    clock.nowMs += 40;
    source.succeed(FIRST.digest);
    const lease = await loading;
    expect(residency.list()).toMatchObject([{ loadMs: 40 }]);
    lease.release();
    expect(residency.bytes).toBe(0);
  });
});

describe('adapters that are loaded ahead', () => {
  it('are there for the first request, unleased, one after the other', async () => {
    const { source, residency } = setUp(10 * ONE);
    const both = [FIRST, SECOND].map(async ({ digest }) => await residency.prefetch(digest));
    await nextTurn();
    expect(source.pending).toEqual([FIRST.digest]);
    source.succeed(FIRST.digest);
    await nextTurn();
    source.succeed(SECOND.digest);
    await Promise.all(both);
    expect(residency.list()).toMatchObject([{ leases: 0 }, { leases: 0 }]);
    expect(residency.leaseResident(FIRST.digest)).not.toBeNull();
    await residency.prefetch(FIRST.digest);
    expect(source.loadCount).toBe(2);
    expect(residency.misses).toBe(0);
  });

  it('drive nothing out: where no room is left, they wait for a request', async () => {
    const { source, residency, load } = setUp(2 * ONE + 1, 1);
    (await load(FIRST)).release();
    const ahead = residency.prefetch(SECOND.digest);
    await nextTurn();
    source.succeed(SECOND.digest);
    await ahead;
    expect(residency.list()).toMatchObject([{ digest: FIRST.digest }]);
    expect(residency.bytes).toBe(ONE + 1);
  });

  it('are shared with a request that comes once their file is read', async () => {
    const source = new HeldAdapterSource([FIRST]);
    let finish = (): void => undefined;
    const made = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const residency = new AdapterResidency(source, new ManualClock(), 10 * ONE, { prepare: () => made, bytes: () => 0 });
    const ahead = residency.prefetch(FIRST.digest);
    await nextTurn();
    source.succeed(FIRST.digest);
    await nextTurn();
    const lease = residency.load(FIRST.digest);
    finish();
    await ahead;
    expect((await lease).adapter).toBe(FIRST.adapter);
    expect(source.loadCount).toBe(1);
    expect(residency.list()).toMatchObject([{ leases: 1 }]);
  });

  it('that cannot be read are told of, and the next ones are loaded', async () => {
    const { source, residency } = setUp(10 * ONE);
    const failing = residency.prefetch(FIRST.digest);
    const next = residency.prefetch(SECOND.digest);
    await nextTurn();
    source.fail(FIRST.digest, new Error('damaged'));
    await expect(failing).rejects.toThrow('damaged');
    await nextTurn();
    source.succeed(SECOND.digest);
    await next;
    expect(residency.list()).toMatchObject([{ digest: SECOND.digest }]);
  });
});

describe('pinned adapters', () => {
  const unexpected = (_digest: unknown, error: unknown): never => {
    throw error;
  };
  const shown = (residency: AdapterResidency): readonly string[] =>
    residency.list().map(({ digest, pinned }) => `${digest}${pinned ? ' pinned' : ''}`);

  it('are loaded one after the other, stay without a request, and count for the bound', async () => {
    const { source, residency, load } = setUp(4 * ONE);
    const pinning = residency.pin([FIRST.digest, SECOND.digest], unexpected);
    expect(source.pending).toEqual([FIRST.digest]);
    source.succeed(FIRST.digest);
    await nextTurn();
    source.succeed(SECOND.digest);
    await pinning;
    for (const adapter of [THIRD, fakeAdapter(4), fakeAdapter(5)]) await loadAndRelease(source, residency, adapter);
    expect(shown(residency).slice(0, 2)).toEqual([`${FIRST.digest} pinned`, `${SECOND.digest} pinned`]);
    expect(residency.bytes).toBeLessThanOrEqual(4 * ONE);
    expect(residency.misses).toBe(3);
    const lease = await load(FIRST);
    lease.release();
    expect(residency.list()[0]).toMatchObject({ digest: FIRST.digest, leases: 0, pinned: true });
  });

  it('become ordinary ones when another set comes, also while they are being loaded', async () => {
    const { source, residency } = setUp(4 * ONE);
    const first = residency.pin([FIRST.digest, SECOND.digest], unexpected);
    const second = residency.pin([THIRD.digest], unexpected);
    source.succeed(FIRST.digest);
    source.succeed(THIRD.digest);
    await Promise.all([first, second]);
    expect(source.pending).toEqual([]);
    expect(new Set(shown(residency))).toEqual(new Set([FIRST.digest, `${THIRD.digest} pinned`]));
    await residency.pin([FIRST.digest], unexpected);
    expect(new Set(shown(residency))).toEqual(new Set([`${FIRST.digest} pinned`, THIRD.digest]));
    await residency.pin([], unexpected);
    expect(shown(residency).join()).not.toContain('pinned');
    expect(residency.bytes).toBe(2 * ONE);
  });

  it('take half of the bound and no more: what comes after that is treated as if it were not pinned', async () => {
    const { source, residency } = setUp(3 * ONE);
    const pinning = residency.pin([FIRST.digest, SECOND.digest], unexpected);
    source.succeed(FIRST.digest);
    await nextTurn();
    if (source.pending.length > 0) source.succeed(SECOND.digest);
    await pinning;
    expect(residency.list().filter(({ pinned }) => pinned)).toMatchObject([{ digest: FIRST.digest }]);
  });

  it('that cannot be loaded are told of, and the others are still loaded', async () => {
    const { source, residency } = setUp(4 * ONE);
    const failures: string[] = [];
    const pinning = residency.pin([FIRST.digest, SECOND.digest], (digest, error) => void failures.push(`${digest} ${String(error)}`));
    source.fail(FIRST.digest, new Error('damaged'));
    await nextTurn();
    source.succeed(SECOND.digest);
    await pinning;
    expect(failures).toEqual([`${FIRST.digest} Error: damaged`]);
    expect(shown(residency)).toEqual([`${SECOND.digest} pinned`]);
  });
});

function nextTurn(): Promise<void> {
  return new Promise(setImmediate);
}

async function loadAndRelease(source: HeldAdapterSource, residency: AdapterResidency, adapter: typeof FIRST): Promise<void> {
  const loading = residency.load(adapter.digest);
  source.add(adapter);
  source.succeed(adapter.digest);
  (await loading).release();
}
