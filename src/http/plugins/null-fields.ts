// Clients of several languages send null for what they leave out. Null means absent, so it is taken away before the schema looks.
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify';

type Hook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void;

/** A `preValidation` hook: drops null fields of a JSON body and of objects in it, down to so many below the body. */
export function dropNullFieldsTo(depth: number): Hook {
  return (request, _reply, done) => {
    request.body = withoutNulls(request.body, depth);
    done();
  };
}

/** Of a JSON body and of the objects directly in it. */
export const dropNullFields = dropNullFieldsTo(1);

function withoutNulls(value: unknown, depth: number): unknown {
  if (!isPlainObject(value)) return value;
  const kept = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(kept.map(([key, field]) => [key, depth > 0 ? withoutNulls(field, depth - 1) : field]));
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
