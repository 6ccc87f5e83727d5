// GET /info: what is served and within which limits, under TGI's names.
import { Type } from 'typebox';
import { TGI_ERRORS } from '../../error-schemas.ts';
import { LIMITS } from '../../limits.ts';
import type { App, AppServices } from '../../services.ts';

const Info = Type.Object({
  model_id: Type.String(),
  model_sha: Type.String(),
  model_dtype: Type.String(),
  model_device_type: Type.String(),
  max_concurrent_requests: Type.Integer(),
  max_batch_size: Type.Integer(),
  max_best_of: Type.Integer(),
  max_stop_sequences: Type.Integer(),
  max_input_tokens: Type.Integer(),
  max_total_tokens: Type.Integer(),
  router: Type.String(),
  version: Type.String(),
});

export function registerInfoRoute(app: App, services: AppServices): void {
  const { base, settings, version } = services;
  const schema = { tags: ['tgi'], summary: 'The served model and its limits', response: { 200: Info, ...TGI_ERRORS } };
  app.get('/info', { schema }, () => ({
    model_id: base.id,
    model_sha: base.digest,
    model_dtype: base.precision,
    model_device_type: base.device,
    max_concurrent_requests: settings.maxBatch + settings.maxWaiting,
    max_batch_size: settings.maxBatch,
    max_best_of: LIMITS.choiceCount,
    max_stop_sequences: LIMITS.stopCount,
    max_input_tokens: base.maxContext - 1,
    max_total_tokens: base.maxContext,
    router: 'lorikeet',
    version,
  }));
}
