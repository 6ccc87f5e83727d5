// What an output may look like, as a value that travels between processes. Made from requests here; only the grammar thread compiles it.
import { AppError } from '../../core/index.ts';
import { isRecord } from '../json.ts';
import { supportedSchema } from './json-schema.ts';

/** `json-schema`: text of a schema as `supportedSchema` wrote it. `regex`: the whole output matches. `ebnf`: its rule `root`. */
export interface Grammar {
  readonly kind: 'json-schema' | 'regex' | 'ebnf';
  readonly text: string;
}

const LIMITS = { grammarCharacters: 64 * 1024, choiceCount: 512 } as const;

/** Any JSON object. */
export const JSON_OBJECT_GRAMMAR: Grammar = { kind: 'json-schema', text: '{"type":"object"}' };

/** @throws AppError invalid_request that names the part of the schema which is wrong, too large or not supported. */
export function jsonSchemaGrammar(schema: unknown, param: string): Grammar {
  return bounded('json-schema', JSON.stringify(supportedSchema(parsed(schema, param), param)), param);
}

/** @throws AppError invalid_request when it is empty or too long; whether it can be compiled is the grammar thread's matter. */
export function textGrammar(kind: 'regex' | 'ebnf', text: string, param: string): Grammar {
  return bounded(kind, text, param);
}

/** One of these texts, exactly. @throws AppError invalid_request when there are none, too many or an empty one. */
export function choiceGrammar(choices: readonly string[], param: string): Grammar {
  const refuse = (came: string, wanted: string): never => {
    throw new AppError('invalid_request', `"${param}": got ${came}, expected ${wanted}`, { param });
  };
  if (choices.length === 0 || choices.length > LIMITS.choiceCount) refuse(`${choices.length} choices`, `1 to ${LIMITS.choiceCount}`);
  if (choices.includes('')) refuse('an empty choice', 'texts of at least one character');
  // EBNF takes the escapes of JSON strings.
  return bounded('ebnf', `root ::= ${choices.map((choice) => JSON.stringify(choice)).join(' | ')}`, param);
}

function parsed(schema: unknown, param: string): unknown {
  if (isRecord(schema) || typeof schema !== 'string') return schema;
  try {
    return JSON.parse(schema);
  } catch (cause) {
    throw new AppError('invalid_request', `"${param}": got a text that is not JSON, expected a JSON schema`, { param, cause });
  }
}

function bounded(kind: Grammar['kind'], text: string, param: string): Grammar {
  if (text.length > 0 && text.length <= LIMITS.grammarCharacters) return { kind, text };
  const message = `"${param}": got a grammar of ${text.length} characters, expected 1 to ${LIMITS.grammarCharacters}`;
  throw new AppError('invalid_request', message, { param });
}
