// /admin/adapters: hot swap and rollback by compare-and-set, placement, and what is known of an adapter at run time.
import { Type, type Static } from 'typebox';
import type { AdapterSummary, AdapterVersion } from '../../../adapters/index.ts';
import { AppError, type Digest } from '../../../core/index.ts';
import type { EngineStats } from '../../../engine/index.ts';
import { PROBLEMS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';
import { AdapterView, adapterView, CanaryView, existingName, NameParams } from '../adapters/adapter-view.ts';

const tags = ['admin'];

const Residency = Type.Object({
  version: Type.Integer(),
  digest: Type.String(),
  active: Type.Boolean(),
  canary: Type.Boolean(),
  leases: Type.Integer({ description: 'Requests that hold this version now' }),
  residency: Type.Union([Type.Literal('merged'), Type.Literal('side'), Type.Literal('disk')], {
    description: 'Merged into weights of its own, in host memory to be applied beside the base, or on disk alone',
  }),
  merging: Type.Union([Type.String(), Type.Null()], {
    description: 'On its way to or from being merged: preparing, prepared, loading, merged, retiring or failed; null: neither',
  }),
  merged_bytes: Type.Integer({ description: 'Of merged weights in memory' }),
  resident: Type.Boolean({ description: 'In host memory of the engine' }),
  resident_bytes: Type.Integer(),
  pinned: Type.Boolean({ description: 'Stays in host memory without a request' }),
  hits: Type.Integer({ description: 'Requests that found it in host memory since it was read' }),
  load_ms: Type.Union([Type.Number(), Type.Null()], { description: 'Time that reading it took' }),
});
type Residency = Static<typeof Residency>;

export function registerAdapterAdminRoutes(app: App, services: AppServices): void {
  registerInspection(app, services);
  registerActivation(app, services);
  registerPlacement(app, services);
}

function registerInspection(app: App, services: AppServices): void {
  const schema = {
    tags,
    summary: 'Residency, leases and load time of each version',
    params: NameParams,
    response: { 200: Type.Object({ ...AdapterView.properties, versions: Type.Array(Residency) }), ...PROBLEMS },
  };
  app.get('/admin/adapters/:name', { schema }, async (request, reply) => {
    const { tenant } = principalOf(request);
    const name = existingName(request.params.name);
    await services.engine.refreshStats();
    const summary = services.adapters.get(tenant, name);
    const versions = services.adapters.versions(tenant, name).map((version) => residencyOf(services, summary, version));
    void reply.header('etag', summary.etag);
    return { ...adapterView(summary), versions };
  });
}

function residencyOf(services: AppServices, summary: AdapterSummary, version: AdapterVersion): Residency {
  const stats = services.engine.stats();
  return {
    version: version.version,
    digest: version.digest,
    active: summary.active?.version === version.version,
    canary: summary.canary?.version === version.version,
    leases: services.adapters.leaseCount(version.digest),
    ...placeOf(stats, version.digest),
  };
}

/** Where the engine has an adapter now. */
function placeOf(stats: EngineStats | null, digest: Digest) {
  const resident = stats?.adapters.find((entry) => entry.digest === digest);
  const merged = stats?.merged.find((entry) => entry.digest === digest);
  const { bytes, pinned, hits, loadMs } = resident ?? { bytes: 0, pinned: false, hits: 0, loadMs: null };
  const unmerged = resident === undefined ? 'disk' : 'side';
  return {
    residency: merged?.phase === 'merged' ? 'merged' : unmerged,
    merging: merged?.phase ?? null,
    merged_bytes: merged?.bytes ?? 0,
    resident: resident !== undefined,
    resident_bytes: bytes,
    pinned,
    hits,
    load_ms: loadMs,
  } as const;
}

function registerActivation(app: App, services: AppServices): void {
  const schema = {
    tags,
    summary: 'Hot swap or rollback: serve this version from the next request on, and a canary to a share of them',
    description:
      'If-Match must carry the ETag that a read of the adapter gave: 428 without it, 412 when someone else was faster. Without a canary, an ' +
      'earlier one ends. A request meets the canary by a hash of its header x-canary-key, else of its user, else of its id.',
    params: NameParams,
    headers: Type.Object({ 'if-match': Type.Optional(Type.String({ maxLength: 256 })) }),
    body: Type.Object(
      {
        version: Type.Integer({ minimum: 1, maximum: 999_999_999 }),
        canary: Type.Optional(Type.Union([CanaryView, Type.Null()], { description: '{"version": …, "share": …} or null' })),
      },
      { additionalProperties: false },
    ),
    response: { 200: AdapterView, ...PROBLEMS },
  };
  app.put('/admin/adapters/:name/active', { schema }, (request, reply) => {
    const name = existingName(request.params.name);
    const { tenant } = principalOf(request);
    const ifMatch = request.headers['if-match'];
    if (ifMatch === undefined) {
      services.adapters.get(tenant, name);
      throw new AppError('precondition_required', 'the If-Match header is missing; send the ETag of the adapter, or * to overwrite', {
        param: 'if-match',
      });
    }
    const { version, canary = null } = request.body;
    const summary = services.adapters.activate(tenant, name, version, ifMatch, canary);
    void reply.header('etag', summary.etag);
    return adapterView(summary);
  });
}

function registerPlacement(app: App, services: AppServices): void {
  const schema = {
    tags,
    summary: 'Keep an adapter in memory, or choose how it is applied',
    description:
      'Mode merged: its rows run over weights of their own, without the cost of a side path, once those are made; requests are served beside ' +
      'the base until then. side: never. auto: by measured cost. At most mergedMax adapters are merged at a time.',
    params: NameParams,
    body: Type.Object(
      {
        pinned: Type.Optional(Type.Boolean()),
        mode: Type.Optional(
          Type.Union([Type.Literal('auto'), Type.Literal('side'), Type.Literal('merged')], { description: '"auto", "side" or "merged"' }),
        ),
      },
      { additionalProperties: false, minProperties: 1 },
    ),
    response: { 200: AdapterView, ...PROBLEMS },
  };
  app.put('/admin/adapters/:name/placement', { schema }, (request, reply) => {
    const summary = services.adapters.setPlacement(principalOf(request).tenant, existingName(request.params.name), request.body);
    void reply.header('etag', summary.etag);
    return adapterView(summary);
  });
}
