// The HTTP app, apart from process start: plugins, then one registration a surface. Takes ports only, so tests inject requests.
import multipart from '@fastify/multipart';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { LogController } from 'fastify';
import { LIMITS } from './limits.ts';
import { registerAuth } from './plugins/auth.ts';
import { registerDescriptionRoute, registerDocs } from './plugins/docs.ts';
import { registerErrorHandler } from './plugins/error-handler.ts';
import { registerJsonBody } from './plugins/json-body.ts';
import { registerMetrics } from './plugins/metrics.ts';
import { registerRequestLog, requestIdOf } from './plugins/request-log.ts';
import { registerAdapterRoutes } from './routes/adapters/adapters.ts';
import { registerAdapterAdminRoutes } from './routes/admin/adapters.ts';
import { registerKeyRoutes } from './routes/admin/keys.ts';
import { registerChatRoute } from './routes/openai/chat.ts';
import { registerCompletionsRoute } from './routes/openai/completions.ts';
import { registerModelRoutes } from './routes/openai/models.ts';
import { registerOperationsRoutes } from './routes/operations.ts';
import { registerGenerateRoutes } from './routes/tgi/generate.ts';
import { registerFileRoutes } from './routes/training/files.ts';
import { registerJobRoutes } from './routes/training/jobs.ts';
import { registerInfoRoute } from './routes/tgi/info.ts';
import { registerTokenizeRoutes } from './routes/tgi/tokenize.ts';
import type { App, AppServices } from './services.ts';

/** Bytes of a request's header block; Node refuses more. */
const HEADER_BYTES = 16 * 1024;
/** Time in which a client must have sent its whole request; uploads of large files are the slowest. */
const REQUEST_TIMEOUT_MS = 15 * 60_000;

/** Builds the app with every route; the caller listens or injects, and closes it. */
export async function createApp(services: AppServices): Promise<App> {
  const app: App = Fastify({
    loggerInstance: services.logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: requestIdOf,
    bodyLimit: LIMITS.jsonBodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { maxHeaderSize: HEADER_BYTES },
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: LIMITS.labelCharacters },
    // Nothing is coerced, filled in or dropped: a request means what it says, or is refused.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false, verbose: true } },
  }).withTypeProvider<TypeBoxTypeProvider>();
  // A browser may send text/plain across origins without asking; no route takes it.
  app.removeContentTypeParser('text/plain');
  registerJsonBody(app);
  registerErrorHandler(app);
  // Before auth, so that a refusal too carries its request id.
  registerRequestLog(app);
  registerAuth(app, services);
  const metrics = registerMetrics(app, services);
  await registerDocs(app, services);
  await app.register(multipart, { limits: { parts: LIMITS.multipartParts, fileSize: services.settings.uploadMaxBytes } });
  registerOperationsRoutes(app, services, metrics);
  registerCompletionsRoute(app, services, metrics);
  registerChatRoute(app, services, metrics);
  registerModelRoutes(app, services);
  registerGenerateRoutes(app, services, metrics);
  registerInfoRoute(app, services);
  registerTokenizeRoutes(app, services);
  registerAdapterRoutes(app, services);
  registerAdapterAdminRoutes(app, services);
  registerKeyRoutes(app, services);
  registerFileRoutes(app, services);
  registerJobRoutes(app, services);
  registerDescriptionRoute(app);
  return app;
}
