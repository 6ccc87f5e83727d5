// How lists of training are asked for and answered: newest first, `after` the last id of the page before.
import { Type } from 'typebox';
import type { PageRequest } from '../../../training/index.ts';

const DEFAULT_LIMIT = 20;

export const PAGE_QUERY = {
  after: Type.Optional(Type.String({ maxLength: 128, description: 'Id of the last entry of the page before' })),
  limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]?|100)$', description: 'a whole number from 1 to 100' })),
};

export function pageRequest(query: { readonly after?: string; readonly limit?: string }): PageRequest {
  return { after: query.after ?? null, limit: query.limit === undefined ? DEFAULT_LIMIT : Number(query.limit) };
}

/** Clients with pages of their own read `first_id` and `last_id`. */
export function listOf<Entry extends { readonly id: string }>(data: Entry[], hasMore: boolean) {
  return { object: 'list' as const, data, has_more: hasMore, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

export function listSchema<S extends Parameters<typeof Type.Array>[0]>(entry: S) {
  const nullableId = Type.Union([Type.String(), Type.Null()]);
  return Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(entry),
    has_more: Type.Boolean(),
    first_id: nullableId,
    last_id: nullableId,
  });
}
