// Response schemas of errors, one set a surface. Routes spread a set into their `response` next to their own answers.
import { Type, type TSchema } from 'typebox';
import { ERROR_CODES } from '../core/index.ts';
import type { Surface } from './surface.ts';

const nullableText = Type.Union([Type.String(), Type.Null()]);

const openAiError = Type.Object(
  { error: Type.Object({ message: Type.String(), type: Type.String(), param: nullableText, code: nullableText }) },
  { description: 'Error in the shape of OpenAI' },
);
const tgiError = Type.Object({ error: Type.String(), error_type: Type.String() }, { description: 'Error in the shape of TGI' });
const problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    param: nullableText,
  },
  { description: 'Problem details, RFC 9457' },
);

function statusesOf(surface: Surface): ReadonlySet<number> {
  const rows: readonly { readonly status: number; readonly tgiStatus?: number }[] = Object.values(ERROR_CODES);
  return new Set(rows.map((row) => (surface === 'tgi' ? (row.tgiStatus ?? row.status) : row.status)));
}

function responses<S extends TSchema>(surface: Surface, schema: S): Record<number, S> {
  return Object.fromEntries([...statusesOf(surface)].map((status) => [status, schema]));
}

export const OPENAI_ERRORS = responses('openai', openAiError);
export const TGI_ERRORS = responses('tgi', tgiError);
export const PROBLEMS = responses('problem', problem);
