// Which adapter a request names: the base's own spellings, and one answer when query and body both say something.
import type { Mix } from '../../adapters/index.ts';
import { AppError } from '../../core/index.ts';
import { mergedAdapters, type MergedAdapters } from './merged-adapters.ts';

/** null: the base. A text: a reference without the base's prefix, of one adapter or a mix (`a*0.7,b*0.3`). */
export type AdapterChoice = string | Mix | null;

/**
 * The adapter part of a reference, or null for the base. Absent, empty, or the base's id means the base; `base:adapter` names the adapter.
 * Whether the adapter exists is the registry's matter.
 */
export function adapterPart(baseId: string, reference: string | undefined): string | null {
  if (reference === undefined || reference === '' || reference === baseId) return null;
  const prefix = `${baseId}:`;
  const adapter = reference.startsWith(prefix) ? reference.slice(prefix.length) : reference;
  return adapter === '' ? null : adapter;
}

/**
 * @param merged - LoRAX's field, which names adapters by itself.
 * @throws AppError `conflicting_reference` when two places name something and do not mean the same, `invalid_request` as `mergedAdapters`.
 */
export function chooseAdapter(
  baseId: string,
  named: { readonly query?: string | undefined; readonly body?: string | undefined; readonly merged?: MergedAdapters | undefined },
): AdapterChoice {
  const reference = chooseReference(baseId, named.query, named.body);
  if (named.merged === undefined) return reference;
  if (reference === null) return mergedAdapters(named.merged);
  throw new AppError('conflicting_reference', 'got an adapter and "merged_adapters", expected one of them', { param: 'merged_adapters' });
}

function chooseReference(baseId: string, inQuery: string | undefined, inBody: string | undefined): string | null {
  const queried = adapterPart(baseId, inQuery);
  const embodied = adapterPart(baseId, inBody);
  const bothGiven = isGiven(inQuery) && isGiven(inBody);
  if (bothGiven && queried !== embodied) {
    throw new AppError('conflicting_reference', 'the query and the body name two different adapters; name one, or the same in both', {
      param: 'adapter_id',
    });
  }
  return isGiven(inQuery) ? queried : embodied;
}

function isGiven(reference: string | undefined): boolean {
  return reference !== undefined && reference !== '';
}
