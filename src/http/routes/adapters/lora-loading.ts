// vLLM's load_lora_adapter and unload_lora_adapter over the registry: its bodies, statuses and words, which its clients look for.
import { Type } from 'typebox';
import { AppError, isAppError } from '../../../core/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { LIMITS } from '../../limits.ts';
import { principalOf } from '../../plugins/auth.ts';
import { dropNullFields } from '../../plugins/null-fields.ts';
import type { App, AppServices } from '../../services.ts';
import { existingName, newName } from './adapter-view.ts';

const MAX_PATH_CHARACTERS = 4096;

const name = Type.Optional(Type.String({ maxLength: LIMITS.labelCharacters }));
const LoadBody = Type.Object(
  {
    lora_name: name,
    lora_path: Type.Optional(
      Type.String({ maxLength: MAX_PATH_CHARACTERS, description: 'An adapter reference, or a path below the import folder' }),
    ),
    load_inplace: Type.Optional(Type.Boolean({ description: 'Also when the name serves something already' })),
  },
  { additionalProperties: false },
);
const UnloadBody = Type.Object(
  { lora_name: name, lora_int_id: Type.Optional(Type.Integer({ description: 'vLLM; without effect' })) },
  { additionalProperties: false },
);
const response = { 200: Type.String({ description: 'One sentence' }), ...OPENAI_ERRORS };

export function registerLoraLoading(app: App, services: AppServices): void {
  const load = {
    tags: ['adapters'],
    summary: "vLLM's: make a name serve another adapter, or one of the import folder",
    body: LoadBody,
    response,
  };
  app.post('/v1/load_lora_adapter', { schema: load, preValidation: dropNullFields }, async (request, reply) => {
    const { lora_name: given, lora_path: source, load_inplace: inPlace = false } = request.body;
    if (!given || !source) throw new AppError('invalid_request', "Both 'lora_name' and 'lora_path' must be provided.");
    const loraName = newName(given, services.base.id);
    await services.adapters.load(principalOf(request).tenant, loraName, source, { inPlace }).catch(rethrowAsVllm);
    return reply.type('text/plain').send(`Success: LoRA adapter '${loraName}' added successfully.`);
  });
  const unload = {
    tags: ['adapters'],
    summary: "vLLM's: let a name serve nobody any more; its versions stay",
    body: UnloadBody,
    response,
  };
  app.post('/v1/unload_lora_adapter', { schema: unload, preValidation: dropNullFields }, (request, reply) => {
    const { lora_name: given } = request.body;
    if (!given) throw new AppError('invalid_request', "'lora_name' needs to be provided to unload a LoRA adapter.");
    try {
      services.adapters.unload(principalOf(request).tenant, existingName(given));
    } catch (error) {
      if (!isAppError(error) || error.code !== 'adapter_not_found') throw error;
      throw new AppError('adapter_not_found', `The lora adapter '${given.slice(0, 80)}' cannot be found.`, { param: 'lora_name' });
    }
    void reply.type('text/plain');
    return `Success: LoRA adapter '${given}' removed successfully.`;
  });
}

/** vLLM answers 400 to every adapter that it cannot take. */
function rethrowAsVllm(error: unknown): never {
  if (!isAppError(error) || (error.code !== 'invalid_adapter' && error.code !== 'unsupported_adapter')) throw error;
  throw new AppError('invalid_request', error.message, { param: 'lora_path', cause: error });
}
