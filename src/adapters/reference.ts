// The grammar of adapter references: [base-id ":"] [tenant "/"] name ["@" version | "@sha256:" hex]. Pure; knows no registry.
import { parseAdapterName, parseDigest, parseTenantId, type AdapterName, type Digest, type TenantId } from '../core/index.ts';

export type VersionSelector =
  | { readonly kind: 'active' }
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'digest'; readonly digest: Digest };

export interface AdapterReference {
  /** null: the caller's own, or shared with the caller. */
  readonly tenant: TenantId | null;
  readonly name: AdapterName;
  readonly selector: VersionSelector;
}

/** Base id, tenant and name of 63 characters each, and a digest, are shorter than this. */
const MAX_REFERENCE_CHARACTERS = 320;
const DIGEST_PREFIX = 'sha256:';
const VERSION = /^[1-9][0-9]{0,8}$/;

/** Answers undefined for anything that is not a reference of the loaded base. */
export function parseReference(text: string, baseId: string): AdapterReference | undefined {
  if (text.length > MAX_REFERENCE_CHARACTERS) return undefined;
  const adapter = text.startsWith(`${baseId}:`) ? text.slice(baseId.length + 1) : text;
  const [path = '', ...selectors] = adapter.split('@');
  const names = path.split('/');
  const tenant = names.length === 2 ? parseTenantId(names[0] ?? '') : null;
  const name = parseAdapterName(names.at(-1) ?? '');
  const selector = parseSelector(selectors);
  if (names.length > 2 || tenant === undefined || name === undefined || selector === undefined) return undefined;
  return { tenant, name, selector };
}

function parseSelector(selectors: readonly string[]): VersionSelector | undefined {
  const [selector, ...more] = selectors;
  if (selector === undefined) return { kind: 'active' };
  if (more.length > 0) return undefined;
  if (selector.startsWith(DIGEST_PREFIX)) {
    const digest = parseDigest(selector.slice(DIGEST_PREFIX.length));
    return digest === undefined ? undefined : { kind: 'digest', digest };
  }
  return VERSION.test(selector) ? { kind: 'version', version: Number(selector) } : undefined;
}
