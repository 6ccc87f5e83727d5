// GET /v1/models: the base and the caller's adapters, with the fields that vLLM adds. `root` is an opaque id, never a path.
import { Type, type Static } from 'typebox';
import type { AdapterVersion } from '../../../adapters/index.ts';
import type { TenantId } from '../../../core/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { adapterPart } from '../../generation/reference.ts';
import { LIMITS } from '../../limits.ts';
import { adapterSlices, answerList, JSON_TYPE, listSchema, PageQuery } from '../../listing.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';

const Model = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer(),
  owned_by: Type.String(),
  root: Type.String(),
  parent: Type.Union([Type.String(), Type.Null()]),
  max_model_len: Type.Integer(),
});
type Model = Static<typeof Model>;

export function registerModelRoutes(app: App, services: AppServices): void {
  const list = {
    tags: ['openai'],
    summary: 'The base model and the adapters that the caller may use',
    querystring: PageQuery,
    response: { 200: listSchema(Model), ...OPENAI_ERRORS },
  };
  app.get('/v1/models', { schema: list }, (request, reply) => {
    const { limit, after } = request.query;
    void reply.type(JSON_TYPE);
    return answerList(modelSlices(services, principalOf(request).tenant, after), limit);
  });
  const one = {
    tags: ['openai'],
    summary: 'One model, by base id or adapter reference',
    params: Type.Object({ '*': Type.String({ minLength: 1, maxLength: LIMITS.labelCharacters }) }),
    response: { 200: Model, ...OPENAI_ERRORS },
  };
  app.get('/v1/models/*', { schema: one }, (request) => modelOf(services, principalOf(request).tenant, request.params['*']));
}

/** The base comes first, then the adapters by name; those that are only staged are no models. */
function* modelSlices(services: AppServices, tenant: TenantId, after: string | undefined): Generator<readonly Model[]> {
  const { base, adapters } = services;
  const isFirst = after === undefined || after === '';
  let head = isFirst ? [baseModel(services)] : [];
  for (const slice of adapterSlices(adapters, tenant, after === base.id ? undefined : after)) {
    yield [...head, ...slice.flatMap(({ active }) => (active === null ? [] : [adapterModel(services, active, active.name)]))];
    head = [];
  }
}

function modelOf(services: AppServices, tenant: TenantId, id: string): Model {
  const reference = adapterPart(services.base.id, id);
  if (reference === null) return baseModel(services);
  const lease = services.adapters.lease(tenant, reference);
  try {
    return adapterModel(services, lease.version, id);
  } finally {
    lease.release();
  }
}

function baseModel({ base }: AppServices): Model {
  return {
    id: base.id,
    object: 'model',
    created: Math.floor(base.createdAtMs / 1000),
    owned_by: 'lorikeet',
    root: base.digest,
    parent: null,
    max_model_len: base.maxContext,
  };
}

function adapterModel({ base }: AppServices, version: AdapterVersion, id: string): Model {
  return {
    id,
    object: 'model',
    created: Math.floor(version.createdAtMs / 1000),
    owned_by: version.tenant,
    root: version.digest,
    parent: base.id,
    max_model_len: base.maxContext,
  };
}
