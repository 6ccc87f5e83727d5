// POST /tokenize and /detokenize. `inputs` gets TGI's list of tokens, `prompt` gets vLLM's object; no adapter can change the answer.
import { Type, type Static } from 'typebox';
import { AppError } from '../../../core/index.ts';
import { TGI_ERRORS } from '../../error-schemas.ts';
import { promptFromText, promptFromTokenIds, type Prompt } from '../../generation/prompt.ts';
import { OffsetCounter } from '../../generation/token-text.ts';
import { LIMITS } from '../../limits.ts';
import { dropNullFields } from '../../plugins/null-fields.ts';
import type { App, AppServices, ServedBase } from '../../services.ts';

const TokenizeBody = Type.Object(
  {
    inputs: Type.Optional(Type.String()),
    prompt: Type.Optional(Type.String()),
    add_special_tokens: Type.Optional(Type.Boolean({ description: 'default true: puts BOS first where the model wants it' })),
  },
  { additionalProperties: false },
);

/** Offsets count characters (code points) of the input, end exclusive. */
const TgiTokens = Type.Array(Type.Object({ id: Type.Integer(), text: Type.String(), start: Type.Integer(), stop: Type.Integer() }));
const VllmTokens = Type.Object({ tokens: Type.Array(Type.Integer()), count: Type.Integer(), max_model_len: Type.Integer() });

const DetokenizeBody = Type.Object(
  {
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: LIMITS.tokenIdCount }), { minItems: 1, maxItems: LIMITS.tokenIdCount }),
  },
  { additionalProperties: false },
);

export function registerTokenizeRoutes(app: App, services: AppServices): void {
  const { base } = services;
  const tokenize = {
    tags: ['tgi'],
    summary: 'Token ids of a text',
    body: TokenizeBody,
    response: { 200: Type.Union([TgiTokens, VllmTokens]), ...TGI_ERRORS },
  };
  app.post('/tokenize', { schema: tokenize, preValidation: dropNullFields }, (request) => {
    const { inputs, prompt, add_special_tokens: bos = true } = request.body;
    const text = inputs ?? prompt;
    if (text === undefined || (inputs !== undefined && prompt !== undefined)) {
      throw new AppError('invalid_request', 'expected exactly one of "inputs" (TGI) and "prompt" (vLLM)', { param: 'inputs' });
    }
    const encoded =
      text === ''
        ? { tokenIds: [], text, hasImpliedBos: false }
        : promptFromText(base, text, inputs === undefined ? 'prompt' : 'inputs', { bos });
    if (inputs !== undefined) return tgiTokens(base, encoded);
    return { tokens: [...encoded.tokenIds], count: encoded.tokenIds.length, max_model_len: base.maxContext };
  });
  const detokenize = {
    tags: ['tgi'],
    summary: 'Text of token ids',
    body: DetokenizeBody,
    response: { 200: Type.Object({ prompt: Type.String() }), ...TGI_ERRORS },
  };
  app.post('/detokenize', { schema: detokenize, preValidation: dropNullFields }, (request) => ({
    prompt: promptFromTokenIds(base, request.body.tokens, 'tokens').text,
  }));
}

function tgiTokens(base: ServedBase, prompt: Prompt): Static<typeof TgiTokens> {
  const counter = new OffsetCounter(base.tokenizer, { start: 0, countSpecial: true });
  const characters = Array.from(prompt.text);
  let position = 0;
  return prompt.tokenIds.map((id, index) => {
    const start = position;
    if (index > 0 || !prompt.hasImpliedBos) position += Array.from(counter.next(id).completed).length;
    return { id, text: characters.slice(start, position).join(''), start, stop: position };
  });
}
