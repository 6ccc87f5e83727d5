// /admin/keys: an admin handles the keys of its own tenant, an operator those of every tenant. A secret is shown once.
import { Type, type Static } from 'typebox';
import { AppError, NAME_RULE, parseTenantId, type TenantId } from '../../../core/index.ts';
import type { KeySummary, Principal, Role } from '../../../tenants/index.ts';
import { PROBLEMS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';

const tags = ['admin'];
const RoleName = Type.Union([Type.Literal('inference'), Type.Literal('admin'), Type.Literal('operator')], {
  description: '"inference", "admin" or "operator"',
});

const keyFields = {
  id: Type.String(),
  tenant: Type.String(),
  role: RoleName,
  created_at: Type.Integer(),
  last_used_at: Type.Union([Type.Integer(), Type.Null()]),
};
const KeyView = Type.Object(keyFields);
type KeyView = Static<typeof KeyView>;

export function registerKeyRoutes(app: App, services: AppServices): void {
  const { tenants } = services;
  const list = {
    tags,
    summary: 'Keys of the own tenant; of every tenant for an operator',
    response: { 200: Type.Object({ object: Type.Literal('list'), data: Type.Array(KeyView) }), ...PROBLEMS },
  };
  app.get('/admin/keys', { schema: list }, (request) => {
    const data = tenants.listKeys(visibleTenant(principalOf(request))).map(keyView);
    return { object: 'list' as const, data };
  });
  const create = {
    tags,
    summary: 'Create a key; its secret is in this answer and nowhere else',
    body: Type.Object({ tenant: Type.Optional(Type.String({ maxLength: 63 })), role: RoleName }, { additionalProperties: false }),
    response: { 201: Type.Object({ ...keyFields, secret: Type.String() }), ...PROBLEMS },
  };
  app.post('/admin/keys', { schema: create }, (request, reply) => {
    const principal = principalOf(request);
    const tenant = tenantFor(principal, request.body.tenant);
    refuseStronger(principal, request.body.role, tenants.hasKeys());
    const { secret, key } = tenants.createKey(tenant, request.body.role);
    void reply.code(201).header('cache-control', 'no-store');
    return { ...keyView(key), secret };
  });
  const revoke = {
    tags,
    summary: 'Revoke a key; requests that run finish',
    params: Type.Object({ id: Type.String({ maxLength: 128 }) }),
    response: { 200: Type.Object({ id: Type.String(), object: Type.Literal('key'), deleted: Type.Literal(true) }), ...PROBLEMS },
  };
  app.delete('/admin/keys/:id', { schema: revoke }, (request) => {
    const { id } = request.params;
    tenants.revokeKey(id, visibleTenant(principalOf(request)));
    return { id, object: 'key' as const, deleted: true as const };
  });
}

/** null: every tenant. */
function visibleTenant(principal: Principal): TenantId | null {
  return principal.role === 'operator' ? null : principal.tenant;
}

function tenantFor(principal: Principal, asked: string | undefined): TenantId {
  if (asked === undefined) return principal.tenant;
  const tenant = parseTenantId(asked);
  if (tenant === undefined) throw new AppError('invalid_request', `"tenant": got "${asked}", expected ${NAME_RULE}`, { param: 'tenant' });
  if (principal.role !== 'operator' && tenant !== principal.tenant) {
    throw new AppError('forbidden', '"tenant": an admin creates keys only for its own tenant', { param: 'tenant' });
  }
  return tenant;
}

/** Without the second rule the first key could lock everyone out of what only an operator may do. */
function refuseStronger(principal: Principal, role: Role, hasKeys: boolean): void {
  if (role === 'operator' && principal.role !== 'operator') {
    throw new AppError('forbidden', '"role": only an operator creates operator keys', { param: 'role' });
  }
  if (!hasKeys && role !== 'operator') {
    throw new AppError('invalid_request', `"role": got "${role}", expected "operator", because it is the first key of this server`, {
      param: 'role',
    });
  }
}

function keyView(key: KeySummary): KeyView {
  return {
    id: key.id,
    tenant: key.tenant,
    role: key.role,
    created_at: Math.floor(key.createdAtMs / 1000),
    last_used_at: key.lastUsedAtMs === null ? null : Math.floor(key.lastUsedAtMs / 1000),
  };
}
