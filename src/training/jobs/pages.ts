// Pages of lists: one entry more than asked tells whether there is another page.
import { AppError } from '../../core/index.ts';
import type { Page, PageRequest } from '../port.ts';

/** @throws AppError `invalid_request` when `read` does not know `after`. */
export function readPage<Row, Entry>(
  page: PageRequest,
  read: (page: PageRequest) => readonly Row[] | null,
  show: (row: Row) => Entry,
): Page<Entry> {
  const rows = read({ ...page, limit: page.limit + 1 });
  if (rows === null) throw unknownAfter(page.after);
  return { entries: rows.slice(0, page.limit).map(show), hasMore: rows.length > page.limit };
}

export function unknownAfter(after: string | null): AppError {
  return new AppError('invalid_request', `"after": got "${(after ?? '').slice(0, 80)}", expected the id of an entry of this list`, {
    param: 'after',
  });
}
