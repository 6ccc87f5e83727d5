// Health, readiness and metrics, with the names that load balancers and TGI's clients expect.
import { Type } from 'typebox';
import { AppError } from '../../core/index.ts';
import { TGI_ERRORS } from '../error-schemas.ts';
import type { Metrics } from '../plugins/metrics.ts';
import type { App, AppServices } from '../services.ts';

const StatusAnswer = Type.Object({ status: Type.String() });

export function registerOperationsRoutes(app: App, services: AppServices, metrics: Metrics): void {
  for (const url of ['/healthz', '/v2/health/live']) {
    const schema = { tags: ['operations'], summary: 'The process answers', response: { 200: StatusAnswer, ...TGI_ERRORS } };
    app.get(url, { schema }, () => ({ status: 'ok' }));
  }
  for (const url of ['/readyz', '/health', '/ping', '/v2/health/ready']) {
    const schema = {
      tags: ['operations'],
      summary: 'The model is loaded and requests are taken',
      response: { 200: StatusAnswer, ...TGI_ERRORS },
    };
    app.get(url, { schema }, () => {
      if (services.isDraining()) throw new AppError('engine_unavailable', 'the server is shutting down', { retryAfterSeconds: 5 });
      if (!services.engine.isReady()) throw new AppError('engine_unavailable', 'the engine is starting', { retryAfterSeconds: 1 });
      return { status: 'ready' };
    });
  }
  const schema = { tags: ['operations'], summary: 'Metrics for Prometheus', response: { 200: Type.String(), ...TGI_ERRORS } };
  app.get('/metrics', { schema }, async (_request, reply) => {
    await services.engine.refreshStats();
    void reply.header('content-type', metrics.registry.contentType);
    return metrics.registry.metrics();
  });
}
