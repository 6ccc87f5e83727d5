// Request and answer of POST /v1/completions.
import { Type, type Static } from 'typebox';
import { LIMITS } from '../../limits.ts';
import { FinishReason, Usage } from './answer-fields.ts';
import { CompletionLogprobs } from './logprobs.ts';
import { commonFields } from './request-fields.ts';

const tokenId = Type.Integer({ minimum: 0, maximum: LIMITS.tokenIdCount });
const tokenIds = Type.Array(tokenId, { minItems: 1, maxItems: LIMITS.tokenIdCount });

export const CompletionBody = Type.Object(
  {
    ...commonFields,
    prompt: Type.Union(
      [
        Type.String(),
        Type.Array(Type.String(), { minItems: 1, maxItems: LIMITS.promptCount }),
        tokenIds,
        Type.Array(tokenIds, { minItems: 1, maxItems: LIMITS.promptCount }),
      ],
      { description: `a text, a list of token ids, or a list of 1 to ${LIMITS.promptCount} of either` },
    ),
    max_tokens: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.newTokens, description: 'default 16; 0 only with echo' })),
    best_of: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.choiceCount })),
    echo: Type.Optional(Type.Boolean()),
    logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.logprobs })),
  },
  { additionalProperties: false },
);
export type CompletionBody = Static<typeof CompletionBody>;

export const CompletionAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('text_completion'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      text: Type.String(),
      logprobs: Type.Union([CompletionLogprobs, Type.Null()]),
      finish_reason: FinishReason,
    }),
  ),
  usage: Usage,
});
