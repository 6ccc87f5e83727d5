// Every failure leaves through here: AppError, failed schemas, Fastify's own errors and bugs become one shape for each surface.
import { errorCodes, type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify';
import { formatByteSize } from '../../config/index.ts';
import { AppError, isAppError, type ErrorCode } from '../../core/index.ts';
import { shownContentType } from '../content-type.ts';
import type { App } from '../services.ts';
import { renderError, surfaceOf } from '../surface.ts';
import { validationError } from '../validation-message.ts';
import { allowedMethods } from './access-table.ts';

/** Largest body that is read only so that its sender comes to read the answer. */
const DROPPED_BODY_MAX_BYTES = 64 * 1024 ** 2;

export function registerErrorHandler(app: App): void {
  app.setErrorHandler<FastifyError | Error>((error, request, reply) => {
    if (error instanceof errorCodes.FST_ERR_CTP_BODY_TOO_LARGE) letBodyArrive(request, reply);
    return sendError(toAppError(error, request), request, reply);
  });
  app.setNotFoundHandler((request, reply) => sendError(notFound(request, reply), request, reply));
}

/**
 * Fastify closes the connection under a client that is still sending, which then may fail to write before it reads the answer. Without that
 * header Node reads the rest and drops it.
 */
function letBodyArrive(request: FastifyRequest, reply: FastifyReply): void {
  if (Number(request.headers['content-length']) <= DROPPED_BODY_MAX_BYTES) void reply.removeHeader('connection');
}

export function sendError(error: AppError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const rendered = renderError(error, surfaceOf(request.url));
  const retryAfter = error.retryAfterSeconds ?? (rendered.status === 503 ? 1 : undefined);
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  // OpenAI clients retry 409 by themselves, which cannot help here.
  if (error.code === 'conflict') void reply.header('x-should-retry', 'false');
  if (error.code === 'unauthorized') void reply.header('www-authenticate', 'Bearer');
  return reply.code(rendered.status).header('content-type', rendered.contentType).send(rendered.body);
}

/** Any thrown thing as an AppError; what is nobody's fault but ours is logged and says no details. */
export function toAppError(error: unknown, request: FastifyRequest): AppError {
  if (isAppError(error)) return error;
  const known = isFastifyError(error) ? fromFastify(error, request) : null;
  if (known !== null) return known;
  request.log.error({ err: error }, 'request failed unexpectedly');
  return new AppError('internal', `internal error; the server's log has details under request id ${request.id}`);
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error;
}

/** Codes by the status that Fastify and its multipart plugin give to what a client did wrong. */
const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  404: 'not_found',
  406: 'unsupported_media_type',
  408: 'invalid_request',
  413: 'payload_too_large',
  414: 'invalid_request',
  415: 'unsupported_media_type',
  503: 'overloaded',
};

function fromFastify(error: FastifyError, request: FastifyRequest): AppError | null {
  if (error.validation !== undefined) return validationError(error.validation, partName(error.validationContext));
  if (error instanceof errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE) {
    return new AppError(
      'unsupported_media_type',
      `got content type ${shownContentType(request)}, expected application/json (multipart/form-data for uploads)`,
    );
  }
  if (error instanceof errorCodes.FST_ERR_CTP_BODY_TOO_LARGE) {
    return new AppError('payload_too_large', `the body is larger than ${formatByteSize(request.routeOptions.bodyLimit)}`);
  }
  const code = error.statusCode === undefined ? undefined : CODE_BY_STATUS[error.statusCode];
  return code === undefined ? null : new AppError(code, error.message);
}

function partName(context: string | undefined): string {
  if (context === 'querystring') return 'query';
  return context === 'params' ? 'path' : (context ?? 'body');
}

function notFound(request: FastifyRequest, reply: FastifyReply): AppError {
  const path = request.url.split('?', 1)[0] ?? '';
  const methods = allowedMethods(path);
  if (methods.length === 0) return new AppError('not_found', `there is no route ${request.method} ${path.slice(0, 200)}`);
  void reply.header('allow', methods.join(', '));
  return new AppError('method_not_allowed', `${path.slice(0, 200)}: got method ${request.method}, expected ${methods.join(' or ')}`);
}
