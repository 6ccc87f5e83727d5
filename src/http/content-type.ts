// The content type that a request came with, as messages show it.
import type { FastifyRequest } from 'fastify';

const SHOWN_CHARACTERS = 80;

export function shownContentType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? 'none').slice(0, SHOWN_CHARACTERS);
}
