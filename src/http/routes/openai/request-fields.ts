// Fields that completions and chat share: schema and meaning together. Everything a client may set is bounded here or in limits.ts.
import { Type, type Static } from 'typebox';
import { AppError } from '../../../core/index.ts';
import { NEUTRAL_SAMPLING } from '../../../engine/index.ts';
import { MergedAdapters } from '../../generation/merged-adapters.ts';
import { chooseAdapter, type AdapterChoice } from '../../generation/reference.ts';
import type { SeedlessSampling } from '../../generation/sampling.ts';
import { LIMITS } from '../../limits.ts';
import type { ServedBase } from '../../services.ts';
import { structuredOutputFields } from './structured-output.ts';

const label = Type.String({ maxLength: LIMITS.labelCharacters });

/** Accepted and without effect here: they ask for nothing that could change the answer. */
const harmlessFields = {
  safety_identifier: Type.Optional(label),
  prompt_cache_key: Type.Optional(label),
  metadata: Type.Optional(Type.Object({}, { additionalProperties: label, maxProperties: 16 })),
  store: Type.Optional(Type.Literal(false)),
  service_tier: Type.Optional(Type.Union([Type.Literal('auto'), Type.Literal('default')], { description: '"auto" or "default"' })),
  skip_special_tokens: Type.Optional(Type.Literal(true)),
};

const samplingFields = {
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: '0 is greedy; default 1' })),
  top_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  top_k: Type.Optional(Type.Integer({ minimum: -1, maximum: LIMITS.tokenIdCount, description: '0 or -1 is all' })),
  min_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  typical_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  repetition_penalty: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100 })),
  frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  presence_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  logit_bias: Type.Optional(
    Type.Object(
      {},
      {
        additionalProperties: Type.Number({ minimum: -100, maximum: 100 }),
        maxProperties: LIMITS.logitBiasEntries,
        description: 'Token id → bias that is added to its logit',
      },
    ),
  ),
  seed: Type.Optional(Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })),
};

const stopText = Type.String({ minLength: 1, maxLength: LIMITS.stopCharacters });

export const commonFields = {
  user: Type.Optional(
    Type.String({ maxLength: LIMITS.labelCharacters, description: 'While an adapter has a canary, a user meets one and the same version' }),
  ),
  model: Type.Optional(
    Type.String({
      maxLength: LIMITS.referenceCharacters,
      description: 'Adapter reference, base id, base:adapter, or a weighted mix of adapters: a*0.7,b*0.3',
    }),
  ),
  merged_adapters: Type.Optional(MergedAdapters),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.choiceCount })),
  stop: Type.Optional(
    Type.Union([stopText, Type.Array(stopText, { maxItems: LIMITS.stopCount })], {
      description: `a text or a list of up to ${LIMITS.stopCount} texts, each 1 to ${LIMITS.stopCharacters} characters`,
    }),
  ),
  stop_token_ids: Type.Optional(
    Type.Array(Type.Integer({ minimum: 0, maximum: LIMITS.tokenIdCount }), { maxItems: LIMITS.stopCount, description: 'vLLM extension' }),
  ),
  ignore_eos: Type.Optional(Type.Boolean({ description: 'vLLM extension' })),
  return_tokens_as_token_ids: Type.Optional(Type.Boolean({ description: 'vLLM extension: tokens in logprobs are written "token_id:17"' })),
  stream: Type.Optional(Type.Boolean()),
  stream_options: Type.Optional(
    Type.Object(
      { include_usage: Type.Optional(Type.Boolean()), include_obfuscation: Type.Optional(Type.Literal(false)) },
      { additionalProperties: false },
    ),
  ),
  ...samplingFields,
  ...structuredOutputFields,
  ...harmlessFields,
};

const CommonBody = Type.Object(commonFields);
export type CommonBody = Static<typeof CommonBody>;

/** What `model` names, or LoRAX's `merged_adapters` beside the base's id. */
export function adapterOf(base: ServedBase, body: CommonBody): AdapterChoice {
  return chooseAdapter(base.id, { body: body.model, merged: body.merged_adapters });
}

/** OpenAI's defaults: temperature 1, everything else off. */
export function samplingOf(base: ServedBase, body: CommonBody): SeedlessSampling {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? NEUTRAL_SAMPLING.topP,
    topK: Math.max(body.top_k ?? NEUTRAL_SAMPLING.topK, 0),
    minP: body.min_p ?? NEUTRAL_SAMPLING.minP,
    typicalP: body.typical_p ?? NEUTRAL_SAMPLING.typicalP,
    repetitionPenalty: body.repetition_penalty ?? NEUTRAL_SAMPLING.repetitionPenalty,
    frequencyPenalty: body.frequency_penalty ?? NEUTRAL_SAMPLING.frequencyPenalty,
    presencePenalty: body.presence_penalty ?? NEUTRAL_SAMPLING.presencePenalty,
    logitBias: logitBiasOf(base, body.logit_bias ?? {}),
  };
}

function logitBiasOf(base: ServedBase, bias: object): (readonly [number, number])[] {
  return Object.entries(bias).map(([key, value]) => {
    const tokenId = /^\d{1,9}$/.test(key) ? Number(key) : Number.NaN;
    if (!(tokenId < base.vocabularySize)) {
      const message = `"logit_bias": got the key "${key.slice(0, 40)}", expected token ids below ${base.vocabularySize}`;
      throw new AppError('invalid_request', message, { param: 'logit_bias' });
    }
    return [tokenId, Number(value)] as const;
  });
}

export function stopsOf(body: CommonBody): readonly string[] {
  return [body.stop ?? []].flat();
}

export function stopTokenIdsOf(base: ServedBase, body: CommonBody): readonly number[] {
  const own = body.ignore_eos === true ? [] : base.stopTokenIds;
  return [...own, ...(body.stop_token_ids ?? [])];
}

/** @throws AppError when prompts times choices are more rows than one request may occupy. */
export function checkRowCount(promptCount: number, choicesPerPrompt: number, param: string): void {
  const rows = promptCount * choicesPerPrompt;
  if (rows > LIMITS.rowCount) {
    const message = `got ${promptCount} prompts with ${choicesPerPrompt} choices each (${rows} rows), expected at most ${LIMITS.rowCount} rows`;
    throw new AppError('invalid_request', message, { param });
  }
}
