// Which adapter a request names: the base's own spellings, and one answer when query and body both say something.
import { AppError } from '../../core/index.ts';

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

/** @throws AppError `conflicting_reference` when both places name something and do not mean the same. */
export function chooseReference(baseId: string, inQuery: string | undefined, inBody: string | undefined): string | null {
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
