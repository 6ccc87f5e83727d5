// Clients of several languages send null for what they leave out. Null means absent, so it is taken away before the schema looks.
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify';

/** A `preValidation` hook: drops null fields of a JSON body and of the objects directly in it. */
export function dropNullFields(request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
  request.body = withoutNulls(request.body, 1);
  done();
}

function withoutNulls(value: unknown, depth: number): unknown {
  if (!isPlainObject(value)) return value;
  const kept = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(kept.map(([key, field]) => [key, depth > 0 ? withoutNulls(field, depth - 1) : field]));
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
