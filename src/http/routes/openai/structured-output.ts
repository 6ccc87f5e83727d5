// Fields that bound the form of an output: OpenAI's response_format and vLLM's extensions, and the grammars that they stand for.
import { Type, type Static } from 'typebox';
import { choiceGrammar, JSON_OBJECT_GRAMMAR, jsonSchemaGrammar, textGrammar } from '../../../text/index.ts';
import type { GrammarWish } from '../../generation/grammar.ts';
import { LIMITS } from '../../limits.ts';

const schema = Type.Union([Type.Object({}, { additionalProperties: true }), Type.Boolean()], { description: 'a JSON schema' });
const schemaOrText = Type.Union([Type.Object({}, { additionalProperties: true }), Type.String()], {
  description: 'a JSON schema, also as text',
});
const choices = Type.Array(Type.String(), { minItems: 1, maxItems: LIMITS.grammarChoices });

const ResponseFormat = Type.Union(
  [
    Type.Object({ type: Type.Literal('text') }, { additionalProperties: false }),
    Type.Object({ type: Type.Literal('json_object') }, { additionalProperties: false }),
    Type.Object(
      {
        type: Type.Literal('json_schema'),
        json_schema: Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 64 }),
            description: Type.Optional(Type.String()),
            schema,
            strict: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
          },
          { additionalProperties: false },
        ),
      },
      { additionalProperties: false },
    ),
  ],
  { description: '{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {"name", "schema"}}' },
);

export const structuredOutputFields = {
  response_format: Type.Optional(ResponseFormat),
  guided_json: Type.Optional(schemaOrText),
  guided_regex: Type.Optional(Type.String({ description: 'vLLM extension: the whole output matches' })),
  guided_choice: Type.Optional(choices),
  guided_grammar: Type.Optional(Type.String({ description: 'vLLM extension: EBNF with a rule "root"' })),
  structured_outputs: Type.Optional(
    Type.Object(
      {
        json: Type.Optional(schemaOrText),
        regex: Type.Optional(Type.String()),
        choice: Type.Optional(choices),
        grammar: Type.Optional(Type.String()),
        json_object: Type.Optional(Type.Boolean()),
      },
      { additionalProperties: false, description: 'vLLM extension: one of json, regex, choice, grammar, json_object' },
    ),
  ),
};

const StructuredOutput = Type.Object(structuredOutputFields);
type StructuredOutput = Static<typeof StructuredOutput>;

/** Every field that asks for a form; more than one is the client's mistake. */
export function grammarWishes(body: StructuredOutput): readonly GrammarWish[] {
  const { response_format: format, structured_outputs: outputs } = body;
  const named: readonly (GrammarWish | null)[] = [
    format === undefined || format.type === 'text' ? null : { param: 'response_format', make: () => formatGrammar(format) },
    ...vllmWishes(
      { json: body.guided_json, regex: body.guided_regex, choice: body.guided_choice, grammar: body.guided_grammar },
      (name) => `guided_${name}`,
    ),
    ...vllmWishes(outputs ?? {}, (name) => `structured_outputs.${name}`),
    outputs?.json_object === true ? { param: 'structured_outputs.json_object', make: () => JSON_OBJECT_GRAMMAR } : null,
  ];
  return named.filter((wish) => wish !== null);
}

function formatGrammar(format: Exclude<NonNullable<StructuredOutput['response_format']>, { type: 'text' }>) {
  return format.type === 'json_object' ? JSON_OBJECT_GRAMMAR : jsonSchemaGrammar(format.json_schema.schema, 'response_format');
}

interface VllmForms {
  readonly json?: unknown;
  readonly regex?: string | undefined;
  readonly choice?: readonly string[] | undefined;
  readonly grammar?: string | undefined;
}

function vllmWishes({ json, regex, choice, grammar }: VllmForms, paramOf: (name: string) => string): readonly (GrammarWish | null)[] {
  const [jsonParam, regexParam, choiceParam, grammarParam] = ['json', 'regex', 'choice', 'grammar'].map(paramOf) as [
    string,
    string,
    string,
    string,
  ];
  return [
    json === undefined ? null : { param: jsonParam, make: () => jsonSchemaGrammar(json, jsonParam) },
    regex === undefined ? null : { param: regexParam, make: () => textGrammar('regex', regex, regexParam) },
    choice === undefined ? null : { param: choiceParam, make: () => choiceGrammar(choice, choiceParam) },
    grammar === undefined ? null : { param: grammarParam, make: () => textGrammar('ebnf', grammar, grammarParam) },
  ];
}
