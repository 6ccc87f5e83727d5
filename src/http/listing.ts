// Lists that may be long: a page when one is asked for, else everything, written slice by slice so that no other request waits for it.
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Type, type Static, type TSchema } from 'typebox';
import type { AdapterRegistry, AdapterSummary } from '../adapters/index.ts';
import type { TenantId } from '../core/index.ts';
import { LIMITS } from './limits.ts';

/** Entries that are read and written in one go; a few milliseconds. */
const SLICE = 200;

/** A stream has no type of its own. */
export const JSON_TYPE = 'application/json; charset=utf-8';

export const PageQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$', description: 'a whole number from 1 to 1000; all entries when absent' }),
    ),
    after: Type.Optional(Type.String({ maxLength: LIMITS.labelCharacters, description: 'last id of the page before' })),
  },
  { additionalProperties: false },
);

export function listSchema<Entry extends TSchema>(entry: Entry) {
  const list = Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(entry),
    has_more: Type.Boolean({ description: 'There are entries behind the last one' }),
  });
  return Type.Unsafe<ListAnswer<Static<Entry>> | Readable>(list);
}

interface ListAnswer<Entry> {
  readonly object: 'list';
  readonly data: Entry[];
  readonly has_more: boolean;
}

/** The caller's adapters behind a name, a slice at a time; each slice is read when it is asked for. */
export function* adapterSlices(
  registry: AdapterRegistry,
  tenant: TenantId,
  after: string | undefined,
): Generator<readonly AdapterSummary[]> {
  for (let last = after ?? ''; ;) {
    const slice = registry.list(tenant, { after: last, limit: SLICE });
    yield slice;
    if (slice.length < SLICE) return;
    last = slice.at(-1)?.name ?? last;
  }
}

/** What a route answers: an object, or a stream of the same JSON when all is more than one slice. */
export function answerList<Entry>(slices: Iterator<readonly Entry[]>, limit: string | undefined): ListAnswer<Entry> | Readable {
  if (limit !== undefined) return page(slices, Number(limit));
  const first = slices.next();
  const second = slices.next();
  if (second.done === true) return { object: 'list', data: first.done === true ? [] : [...first.value], has_more: false };
  return Readable.from(written(first.value ?? [], second.value, slices));
}

function page<Entry>(slices: Iterator<readonly Entry[]>, limit: number): ListAnswer<Entry> {
  const found: Entry[] = [];
  for (let next = slices.next(); next.done !== true && found.length <= limit; next = slices.next()) found.push(...next.value);
  return { object: 'list', data: found.slice(0, limit), has_more: found.length > limit };
}

async function* written<Entry>(
  first: readonly Entry[],
  second: readonly Entry[],
  rest: Iterator<readonly Entry[]>,
): AsyncGenerator<string> {
  yield `{"object":"list","data":[${joined(first)}`;
  for (let slice: readonly Entry[] = second; ;) {
    if (slice.length > 0) yield `,${joined(slice)}`;
    await nextTurn();
    const next = rest.next();
    if (next.done === true) break;
    slice = next.value;
  }
  yield '],"has_more":false}';
}

function joined(entries: readonly unknown[]): string {
  return entries.map((entry) => JSON.stringify(entry)).join();
}
