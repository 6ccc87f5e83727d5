// Request and answer of POST /v1/chat/completions.
import { Type, type Static } from 'typebox';
import { LIMITS } from '../../limits.ts';
import { FinishReason, Usage } from './answer-fields.ts';
import { ChatLogprob } from './logprobs.ts';
import { commonFields } from './request-fields.ts';

const textPart = Type.Object({ type: Type.Literal('text'), text: Type.String() }, { additionalProperties: false });

const Message = Type.Object(
  {
    role: Type.Union([Type.Literal('system'), Type.Literal('developer'), Type.Literal('user'), Type.Literal('assistant')], {
      description: '"system", "developer", "user" or "assistant"',
    }),
    content: Type.Union([Type.String(), Type.Array(textPart, { minItems: 1, maxItems: LIMITS.contentPartCount })], {
      description: `a text, or a list of 1 to ${LIMITS.contentPartCount} parts {"type": "text", "text": …}`,
    }),
    name: Type.Optional(Type.String({ maxLength: LIMITS.labelCharacters })),
  },
  { additionalProperties: false },
);
export type Message = Static<typeof Message>;

const newTokens = Type.Integer({ minimum: 1, maximum: LIMITS.newTokens, description: 'default: to the end of the context' });

export const ChatBody = Type.Object(
  {
    ...commonFields,
    messages: Type.Array(Message, { minItems: 1, maxItems: LIMITS.messageCount }),
    max_tokens: Type.Optional(newTokens),
    max_completion_tokens: Type.Optional(newTokens),
    logprobs: Type.Optional(Type.Boolean()),
    top_logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.logprobs })),
    modalities: Type.Optional(Type.Array(Type.Literal('text'), { minItems: 1, maxItems: 1 })),
  },
  { additionalProperties: false },
);
export type ChatBody = Static<typeof ChatBody>;

const nullValue = Type.Null();

export const ChatAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      message: Type.Object({ role: Type.Literal('assistant'), content: Type.String(), refusal: nullValue }),
      logprobs: Type.Union([Type.Object({ content: Type.Array(ChatLogprob), refusal: nullValue }), nullValue]),
      finish_reason: FinishReason,
    }),
  ),
  usage: Usage,
});
