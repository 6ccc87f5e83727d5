// Request and answer of /generate, /generate_stream and POST /, in the shapes of TGI and LoRAX.
import { Type, type Static } from 'typebox';
import { MergedAdapters } from '../../generation/merged-adapters.ts';
import { LIMITS } from '../../limits.ts';

const stopText = Type.String({ minLength: 1, maxLength: LIMITS.stopCharacters });

const TgiGrammar = Type.Union(
  [
    Type.Object({ type: Type.Literal('json'), value: Type.Object({}, { additionalProperties: true }) }, { additionalProperties: false }),
    Type.Object(
      { type: Type.Literal('json_object'), value: Type.Optional(Type.Object({}, { additionalProperties: true })) },
      { additionalProperties: false },
    ),
    Type.Object({ type: Type.Literal('regex'), value: Type.String() }, { additionalProperties: false }),
  ],
  { description: '{"type": "json" or "json_object", "value": a JSON schema} or {"type": "regex", "value": a text}' },
);

const parameterFields = {
  adapter_id: Type.Optional(
    Type.String({ maxLength: LIMITS.referenceCharacters, description: 'Adapter reference or mix (a*0.7,b*0.3); the same as ?adapter=' }),
  ),
  merged_adapters: Type.Optional(MergedAdapters),
  max_new_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.newTokens, description: 'default 100' })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: '0 is greedy' })),
  top_k: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.tokenIdCount })),
  top_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  typical_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  min_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  repetition_penalty: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100 })),
  frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
  ignore_eos_token: Type.Optional(Type.Boolean({ description: 'LoRAX: goes on to max_new_tokens' })),
  do_sample: Type.Optional(Type.Boolean({ description: 'default: false, or true when a sampling field is set' })),
  seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  stop: Type.Optional(
    Type.Union([stopText, Type.Array(stopText, { maxItems: LIMITS.stopCount })], {
      description: `a text or a list of up to ${LIMITS.stopCount} texts, each 1 to ${LIMITS.stopCharacters} characters`,
    }),
  ),
  truncate: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.tokenIdCount, description: 'Keeps the last so many prompt tokens' })),
  return_full_text: Type.Optional(Type.Boolean({ description: 'Puts the prompt before the generated text' })),
  details: Type.Optional(Type.Boolean()),
  decoder_input_details: Type.Optional(Type.Boolean({ description: 'With details: log probabilities of the prompt' })),
  top_n_tokens: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.logprobs })),
  best_of: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.choiceCount })),
  grammar: Type.Optional(TgiGrammar),
  response_format: Type.Optional(
    Type.Object(
      { type: Type.Literal('json_object'), schema: Type.Optional(Type.Object({}, { additionalProperties: true })) },
      { additionalProperties: false, description: 'LoRAX: {"type": "json_object", "schema": …}' },
    ),
  ),
  watermark: Type.Optional(Type.Literal(false)),
};

const Parameters = Type.Object(parameterFields, { additionalProperties: false });
export type Parameters = Static<typeof Parameters>;
export type ParameterName = keyof Parameters;

export const PARAMETER_NAMES = Object.keys(parameterFields).filter((name): name is ParameterName => Object.hasOwn(parameterFields, name));

export const GenerateBody = Type.Object(
  {
    inputs: Type.Optional(Type.String()),
    prompt: Type.Optional(Type.String({ description: 'The same as inputs' })),
    parameters: Type.Optional(Parameters),
    stream: Type.Optional(Type.Boolean({ description: 'Only for POST /' })),
    ...parameterFields,
  },
  { additionalProperties: false, description: 'Parameters may also stand beside inputs' },
);
export type GenerateBody = Static<typeof GenerateBody>;

export const GenerateQuery = Type.Object(
  {
    adapter: Type.Optional(
      Type.String({ maxLength: LIMITS.referenceCharacters, description: 'Adapter reference, or a weighted mix: a*0.7,b*0.3 or a*0.5' }),
    ),
  },
  { additionalProperties: false },
);

const nullableNumber = Type.Union([Type.Number(), Type.Null()]);
const finishReason = Type.Union([Type.Literal('length'), Type.Literal('eos_token'), Type.Literal('stop_sequence')]);
const TgiToken = Type.Object({ id: Type.Integer(), text: Type.String(), logprob: Type.Number(), special: Type.Boolean() });
export type TgiToken = Static<typeof TgiToken>;
const PrefillToken = Type.Object({ id: Type.Integer(), text: Type.String(), logprob: nullableNumber });
export type PrefillToken = Static<typeof PrefillToken>;

const sequenceFields = {
  finish_reason: finishReason,
  generated_tokens: Type.Integer(),
  seed: nullableNumber,
  prefill: Type.Array(PrefillToken),
  tokens: Type.Array(TgiToken),
  top_tokens: Type.Optional(Type.Array(Type.Array(TgiToken))),
};

const Details = Type.Object({
  ...sequenceFields,
  prompt_tokens: Type.Integer(),
  best_of_sequences: Type.Optional(Type.Array(Type.Object({ ...sequenceFields, generated_text: Type.String() }))),
});

export const GenerateAnswer = Type.Object({ generated_text: Type.String(), details: Type.Optional(Details) });
