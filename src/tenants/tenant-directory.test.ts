// Keys and roles on an in-memory store with a fixed clock and counted randomness.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { DEFAULT_TENANT, SAMPLES_TENANT, type Clock, type Random, type TenantId } from '../core/index.ts';
import type { KeyRow, KeyStore } from '../storage/index.ts';
import { createSecret, digestSecret, isSecret } from './secret.ts';
import { createTenantDirectory, requireRole, roleAllows, ROLES, type TenantDirectory } from './index.ts';

const SEEDED = { seed: 20_261_123 };
const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;

class CountingKeyStore implements KeyStore {
  readonly rows = new Map<string, KeyRow>();
  touches = 0;

  add(row: KeyRow): void {
    this.rows.set(row.id, row);
  }
  all(): readonly KeyRow[] {
    return [...this.rows.values()];
  }
  remove(id: string): boolean {
    return this.rows.delete(id);
  }
  touch(id: string, usedAtMs: number): void {
    const row = this.rows.get(id);
    if (row === undefined) return;
    this.touches += 1;
    this.rows.set(id, { ...row, lastUsedAtMs: usedAtMs });
  }
}

/** Different bytes at each call, the same in each run. */
function countedRandom(): Random {
  let calls = 0;
  return {
    bytes: (count) => {
      calls += 1;
      return createHash('sha512').update(String(calls)).digest().subarray(0, count);
    },
  };
}

let nowMs: number;
let store: CountingKeyStore;
let directory: TenantDirectory;
const clock: Clock = { now: () => nowMs, monotonic: () => nowMs };

beforeEach(() => {
  nowMs = 1_000_000;
  store = new CountingKeyStore();
  directory = createTenantDirectory({ keys: store, clock, random: countedRandom() });
});

describe('an open server', () => {
  it('takes everybody for the operator of the default tenant, key or not', () => {
    expect(directory.hasKeys()).toBe(false);
    for (const header of [undefined, 'Bearer nonsense', '']) {
      expect(directory.authenticate(header)).toEqual({ tenant: DEFAULT_TENANT, role: 'operator', keyId: null });
    }
  });

  it.each(['inference', 'admin'] as const)('refuses %s as the role of the first key', (role) => {
    expect(() => directory.createKey(ACME, role)).toThrow(expect.objectContaining({ code: 'invalid_request', param: 'role' }));
    expect(directory.hasKeys()).toBe(false);
  });

  it('closes with the first key', () => {
    directory.createKey(ACME, 'operator');
    expect(() => directory.authenticate(undefined)).toThrow(expect.objectContaining({ code: 'unauthorized' }));
  });
});

describe('keys', () => {
  it('name their tenant and role, also after a restart', () => {
    directory.createKey(ACME, 'operator');
    const { secret, key } = directory.createKey(GLOBEX, 'inference');
    const expected = { tenant: GLOBEX, role: 'inference', keyId: key.id };
    expect(directory.authenticate(`Bearer ${secret}`)).toEqual(expected);
    expect(directory.authenticate(`bearer ${secret}`)).toEqual(expected);
    expect(createTenantDirectory({ keys: store, clock }).authenticate(`Bearer ${secret}`)).toEqual(expected);
  });

  it('are stored as digests only', () => {
    const { secret } = directory.createKey(ACME, 'operator');
    const stored = JSON.stringify(store.all());
    expect(stored).not.toContain(secret);
    expect(stored).toContain(createHash('sha256').update(secret).digest('hex'));
    expect(JSON.stringify(directory.listKeys(null))).not.toContain(digestSecret(secret));
  });

  it('are refused with one same message, whatever is wrong with them', () => {
    const { secret } = directory.createKey(ACME, 'operator');
    const unknown = createSecret({ bytes: (count) => new Uint8Array(count) });
    const swapped = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    const headers = [
      undefined,
      '',
      'Bearer',
      `Bearer ${swapped}`,
      `Bearer ${unknown}`,
      secret,
      `Basic ${secret}`,
      `Bearer ${secret} x`,
      `Bearer ${'x'.repeat(1e6)}`,
    ];
    const messages = headers.map((header) => {
      try {
        directory.authenticate(header);
        return `accepted ${header ?? 'nothing'}`;
      } catch (error) {
        return error instanceof Error ? error.message : '';
      }
    });
    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).toContain('valid API key');
  });

  it('write their last use at most once in five minutes', () => {
    const { secret, key } = directory.createKey(ACME, 'operator');
    for (let second = 0; second < 600; second += 1) {
      directory.authenticate(`Bearer ${secret}`);
      nowMs += 1000;
    }
    expect(store.touches).toBe(2);
    expect(directory.listKeys(null)).toEqual([{ ...key, lastUsedAtMs: 1_300_000 }]);
  });

  it('cannot belong to the owner of the samples', () => {
    expect(() => directory.createKey(SAMPLES_TENANT, 'operator')).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'tenant' }),
    );
  });

  it('with an unknown role stop the start, instead of meaning anything', () => {
    directory.createKey(ACME, 'operator');
    for (const row of store.all()) store.rows.set(row.id, { ...row, role: 'root' });
    expect(() => createTenantDirectory({ keys: store })).toThrow(/unknown role root/);
  });
});

describe('revoking', () => {
  it('ends a key at once', () => {
    directory.createKey(ACME, 'operator');
    const { secret, key } = directory.createKey(GLOBEX, 'admin');
    directory.revokeKey(key.id, GLOBEX);
    expect(() => directory.authenticate(`Bearer ${secret}`)).toThrow(expect.objectContaining({ code: 'unauthorized' }));
    expect(store.rows.has(key.id)).toBe(false);
  });

  it('gives the same answer for a missing key and for the key of another tenant', async () => {
    directory.createKey(ACME, 'operator');
    const { key } = directory.createKey(GLOBEX, 'admin');
    const refusals = [
      await refusalOf(() => directory.revokeKey('key_missing', ACME)),
      await refusalOf(() => directory.revokeKey(key.id, ACME)),
    ];
    expect(refusals.map(({ code, message }) => [code, message])).toEqual(Array.from({ length: 2 }, () => ['not_found', 'no such key']));
    expect(directory.listKeys(ACME)).toHaveLength(1);
    expect(directory.listKeys(GLOBEX)).toEqual([key]);
  });

  it('refuses to take the last operator key, which would lock everybody out or open the server', () => {
    const { key } = directory.createKey(ACME, 'operator');
    directory.createKey(GLOBEX, 'admin');
    expect(() => directory.revokeKey(key.id, null)).toThrow(expect.objectContaining({ code: 'conflict' }));
    directory.createKey(GLOBEX, 'operator');
    directory.revokeKey(key.id, null);
    expect(directory.listKeys(ACME)).toEqual([]);
  });
});

describe('secrets', () => {
  it('have a fixed form, and a wrong character anywhere breaks their check', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.nat(48),
        fc.constantFrom('0', 'A', 'a', '9', 'Z', 'z'),
        (bytes, place, character) => {
          const secret = createSecret({ bytes: () => bytes });
          expect(secret).toMatch(/^lk_[0-9A-Za-z]{49}$/);
          expect(isSecret(secret)).toBe(true);
          const position = 3 + place;
          const changed = `${secret.slice(0, position)}${character}${secret.slice(position + 1)}`;
          expect(isSecret(changed)).toBe(changed === secret);
        },
      ),
      SEEDED,
    );
  });

  it('differ whenever their random bytes differ', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), (left, right) => {
        const same = createSecret({ bytes: () => left }) === createSecret({ bytes: () => right });
        expect(same).toBe(Buffer.compare(left, right) === 0);
      }),
      SEEDED,
    );
  });
});

describe('roles', () => {
  it('are ordered: inference below admin below operator', () => {
    const table = ROLES.map((held) => ROLES.map((needed) => roleAllows(held, needed)));
    expect(table).toEqual([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ]);
  });

  it('refuse with both roles named', async () => {
    const principal = { tenant: ACME, role: 'inference', keyId: 'key_1' } as const;
    const refusal = await refusalOf(() => requireRole(principal, 'admin'));
    expect(refusal.code).toBe('forbidden');
    expect(refusal.message).toMatch(/admin.*inference/);
    requireRole(principal, 'inference');
  });
});
