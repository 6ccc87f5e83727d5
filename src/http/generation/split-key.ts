// The key that decides whether a request meets a canary. Equal keys meet the same version as long as the split stands.
import type { FastifyRequest } from 'fastify';

const HEADER = 'x-canary-key';

/** The header `x-canary-key`, else the body's `user`, else the request's id: then each request is decided for itself. */
export function splitKeyOf(request: Pick<FastifyRequest, 'headers' | 'body' | 'id'>): string {
  const header = request.headers[HEADER];
  if (typeof header === 'string' && header !== '') return `key ${header}`;
  const { body } = request;
  const user = typeof body === 'object' && body !== null && 'user' in body ? body.user : undefined;
  return typeof user === 'string' && user !== '' ? `user ${user}` : `request ${request.id}`;
}
