// The one table of routes and who may call them. A route that is not here cannot be registered, so nothing is open by oversight.
import type { Role } from '../../tenants/index.ts';

export type Access = 'public' | Role;

interface AccessRow {
  readonly method: string;
  /** Fastify's route pattern; a trailing `/**` covers everything below (routes of the API description's viewer). */
  readonly url: string;
  readonly access: Access;
}

function row(method: string, url: string, access: Access): AccessRow {
  return { method, url, access };
}

export const ACCESS_TABLE: readonly AccessRow[] = [
  row('GET', '/healthz', 'public'),
  row('GET', '/readyz', 'public'),
  row('GET', '/health', 'public'),
  row('GET', '/ping', 'public'),
  row('GET', '/v2/health/live', 'public'),
  row('GET', '/v2/health/ready', 'public'),
  row('GET', '/openapi.json', 'public'),
  row('GET', '/docs/**', 'public'),
  row('GET', '/metrics', 'operator'),

  row('GET', '/info', 'inference'),
  row('POST', '/', 'inference'),
  row('POST', '/generate', 'inference'),
  row('POST', '/generate_stream', 'inference'),
  row('POST', '/tokenize', 'inference'),
  row('POST', '/detokenize', 'inference'),

  row('POST', '/v1/completions', 'inference'),
  row('POST', '/v1/chat/completions', 'inference'),
  row('GET', '/v1/models', 'inference'),
  row('GET', '/v1/models/*', 'inference'),

  row('GET', '/v1/adapters', 'inference'),
  row('GET', '/v1/adapters/:name', 'inference'),
  row('GET', '/v1/adapters/:name/versions', 'inference'),
  row('GET', '/v1/adapters/:name/versions/:version/files/:file', 'inference'),
  row('GET', '/v1/adapters/:name/versions/:version/export', 'inference'),
  row('GET', '/v1/adapters/:name/inspect', 'inference'),
  row('GET', '/v1/adapters/:name/compare/:other', 'inference'),
  row('PUT', '/v1/adapters/:name', 'admin'),
  row('POST', '/v1/load_lora_adapter', 'admin'),
  row('POST', '/v1/unload_lora_adapter', 'admin'),
  row('DELETE', '/v1/adapters/:name', 'admin'),
  row('DELETE', '/v1/adapters/:name/versions/:version', 'admin'),

  row('POST', '/v1/files', 'admin'),
  row('GET', '/v1/files', 'admin'),
  row('GET', '/v1/files/:id', 'admin'),
  row('GET', '/v1/files/:id/content', 'admin'),
  row('DELETE', '/v1/files/:id', 'admin'),
  row('POST', '/v1/fine_tuning/jobs', 'admin'),
  row('GET', '/v1/fine_tuning/jobs', 'admin'),
  row('GET', '/v1/fine_tuning/jobs/:id', 'admin'),
  row('GET', '/v1/fine_tuning/jobs/:id/events', 'admin'),
  row('GET', '/v1/fine_tuning/jobs/:id/checkpoints', 'admin'),
  row('POST', '/v1/fine_tuning/jobs/:id/cancel', 'admin'),
  row('POST', '/v1/fine_tuning/jobs/:id/pause', 'admin'),
  row('POST', '/v1/fine_tuning/jobs/:id/resume', 'admin'),

  row('GET', '/admin/adapters/:name', 'admin'),
  row('PUT', '/admin/adapters/:name/active', 'admin'),
  row('PUT', '/admin/adapters/:name/placement', 'admin'),
  row('GET', '/admin/keys', 'admin'),
  row('POST', '/admin/keys', 'admin'),
  row('DELETE', '/admin/keys/:id', 'admin'),
];

/** Who may call a route pattern, or undefined for a route that the table does not know. HEAD follows GET. */
export function accessOf(method: string, url: string): Access | undefined {
  const asked = method === 'HEAD' ? 'GET' : method;
  return ACCESS_TABLE.find((candidate) => candidate.method === asked && covers(candidate.url, url))?.access;
}

/** Methods of the table that a concrete path answers to. */
export function allowedMethods(path: string): readonly string[] {
  return ACCESS_TABLE.filter((candidate) => matches(candidate.url, path)).map((candidate) => candidate.method);
}

const BELOW = '/**';

function covers(pattern: string, url: string): boolean {
  if (!pattern.endsWith(BELOW)) return pattern === url;
  const root = pattern.slice(0, -BELOW.length);
  return url === root || url.startsWith(`${root}/`);
}

function matches(pattern: string, path: string): boolean {
  if (pattern.endsWith(BELOW)) return covers(pattern, path);
  const expected = pattern.split('/');
  const actual = path.split('/');
  if (pattern.endsWith('/*')) return actual.length >= expected.length && prefixMatches(expected.slice(0, -1), actual);
  return expected.length === actual.length && prefixMatches(expected, actual);
}

function prefixMatches(expected: readonly string[], actual: readonly string[]): boolean {
  return expected.every((segment, index) => (segment.startsWith(':') ? (actual[index] ?? '') !== '' : segment === actual[index]));
}
