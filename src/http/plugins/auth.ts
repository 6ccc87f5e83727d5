// Who calls and whether the role is enough, before any body is read. Deny by default: the access table decides, and it must know every route.
import type { FastifyRequest } from 'fastify';
import { AppError } from '../../core/index.ts';
import { requireRole, type Principal } from '../../tenants/index.ts';
import type { App, AppServices } from '../services.ts';
import { accessOf } from './access-table.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** null on public routes. */
    principal: Principal | null;
  }
}

/** The caller of a route that is not public. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new Error(`route ${request.routeOptions.url ?? '?'} needs a principal but is public`);
  return request.principal;
}

export function registerAuth(app: App, services: AppServices): void {
  app.decorateRequest('principal', null);
  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) {
      if (accessOf(method, route.url) === undefined) throw new Error(`route ${method} ${route.url} is not in the access table`);
    }
  });
  app.addHook('onRequest', (request, _reply, done) => {
    admit(request, services);
    done();
  });
}

/** @throws AppError `unauthorized` or `forbidden`. A path without a route passes, to be answered 404. */
function admit(request: FastifyRequest, services: AppServices): void {
  const url = request.routeOptions.url;
  const access = url === undefined ? 'public' : accessOf(request.method, url);
  if (access === 'public') return;
  refuseForeignHost(request, services);
  request.principal = services.tenants.authenticate(request.headers.authorization);
  if (access === undefined) throw new AppError('forbidden', 'this route is closed');
  requireRole(request.principal, access);
}

const LOOPBACK_NAME = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/**
 * An open server answers only under its own names: else a web page could reach it from a browser on the same machine by
 * letting its own host name resolve to loopback (DNS rebinding).
 */
function refuseForeignHost(request: FastifyRequest, services: AppServices): void {
  if (services.tenants.hasKeys()) return;
  const { host, publicUrl } = services.settings;
  const named = request.headers.host ?? '';
  const isOwn = LOOPBACK_NAME.test(named) || named === host || named.startsWith(`${host}:`);
  if (isOwn || (publicUrl !== null && new URL(publicUrl).host === named)) return;
  throw new AppError('forbidden', 'this server has no API key yet and answers only on loopback names; the Host header names another');
}
