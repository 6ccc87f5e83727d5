// Request ids, headers that every answer has, and one log line a request. Never logs prompts, keys, bodies or query strings.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { App } from '../services.ts';

const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** A client's own request id when it is plain, else a fresh one. */
export function requestIdOf(message: Pick<IncomingMessage, 'headers'>): string {
  const given = message.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

export function registerRequestLog(app: App): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const fields = {
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
      tenant: request.principal?.tenant,
      adapter: reply.getHeader('x-adapter-id'),
    };
    request.log.info(fields, 'request');
    done();
  });
}
