// Every route is in the access table with a role, has schemas for its answers, and lets in exactly whom the table says.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACCESS_TABLE, accessOf, allowedMethods } from '../../src/http/plugins/access-table.ts';
import { ROLES, type Role } from '../../src/tenants/index.ts';
import { keyHeader, openHarness, type HttpHarness } from './harness.ts';
import { including } from './matchers.ts';

let harness: HttpHarness;
let headers: Readonly<Record<Role, { readonly authorization: string }>>;
beforeAll(async () => {
  harness = await openHarness();
  headers = {
    operator: keyHeader(harness, 'root', 'operator'),
    admin: keyHeader(harness, 'acme', 'admin'),
    inference: keyHeader(harness, 'acme', 'inference'),
  };
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

const ROUTES = ACCESS_TABLE.filter((row) => !row.url.endsWith('/**'));
const GUARDED = ROUTES.filter((row) => row.access !== 'public');

/** A concrete path of a pattern. */
function pathOf(url: string): string {
  return url
    .replace(/:version/, '1')
    .replace(/:[a-z]+/g, 'some')
    .replace('*', 'some');
}

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

async function statusOf(
  row: { readonly method: string; readonly url: string },
  authorization?: { readonly authorization: string },
): Promise<number> {
  const answer = await harness.app.inject({ method: row.method as Method, url: pathOf(row.url), headers: { ...authorization } });
  return answer.statusCode;
}

describe('the access table', () => {
  it.each(ROUTES)('knows only routes that exist: $method $url', ({ method, url }) => {
    expect(harness.app.hasRoute({ method, url })).toBe(true);
  });

  it('refuses a route that it does not know', async () => {
    await using other = await openHarness();
    expect(() => other.app.get('/secret', () => 'x')).toThrow(/GET \/secret is not in the access table/);
  });

  it('has the same access for HEAD as for GET, and none for unknown routes', () => {
    expect(accessOf('HEAD', '/metrics')).toBe('operator');
    expect(accessOf('GET', '/secret')).toBeUndefined();
    expect(accessOf('GET', '/docsx')).toBeUndefined();
  });

  it('finds the methods of a concrete path', () => {
    expect(allowedMethods('/v1/adapters/x')).toEqual(['GET', 'PUT', 'DELETE']);
    expect(allowedMethods('/v1/models/a/b')).toEqual(['GET']);
    expect(allowedMethods('/v1/adapters/')).toEqual([]);
  });
});

describe('every guarded route', () => {
  it.each(GUARDED)('refuses a request without key: $method $url', async (row) => {
    expect(await statusOf(row)).toBe(401);
  });

  it.each(GUARDED)('refuses an unknown key: $method $url', async (row) => {
    expect(await statusOf(row, { authorization: `Bearer lk_${'x'.repeat(43)}` })).toBe(401);
  });

  it.each(GUARDED.flatMap((row) => ROLES.map((role) => ({ ...row, role }))))(
    '$method $url treats role $role as the table says',
    async (row) => {
      const status = await statusOf(row, headers[row.role]);
      const isEnough = ROLES.indexOf(row.role) >= ROLES.findIndex((role) => role === row.access);
      expect({ status, isRefused: status === 401 || status === 403 }).toEqual({ status, isRefused: !isEnough });
    },
  );
});

describe('the API description', () => {
  it.each(ROUTES)('has schemas for success and for errors of $method $url', async ({ method, url }) => {
    const answer = await harness.app.inject('/openapi.json');
    const { paths } = answer.json<{
      paths: Record<string, Record<string, { responses: Record<string, { content?: object }>; summary?: string }>>;
    }>();
    const written = url.replace(/:([a-z]+)/g, '{$1}').replace('*', '{*}');
    const operation = paths[written]?.[method.toLowerCase()];
    const statuses = Object.keys(operation?.responses ?? {});
    expect(operation?.summary).toMatch(/\w/);
    expect(statuses.some((status) => status.startsWith('2'))).toBe(true);
    expect(statuses).toEqual(including(['401', '404', '500', '503']));
  });

  it('is shown at /docs without a key', async () => {
    expect((await harness.app.inject('/docs')).statusCode).toBe(200);
  });
});
