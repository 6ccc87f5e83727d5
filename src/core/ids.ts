// Branded identifiers: strings that cannot be mixed up. Only the parse functions here may make one from raw input.
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

export type TenantId = Brand<string, 'TenantId'>;
export type AdapterName = Brand<string, 'AdapterName'>;
/** Lower-case hexadecimal SHA-256, 64 characters, without a prefix. */
export type Digest = Brand<string, 'Digest'>;
export type RequestId = Brand<string, 'RequestId'>;

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const DIGEST = /^[0-9a-f]{64}$/;

export const NAME_RULE = 'lower-case letters, digits, ".", "_" and "-", 1 to 63 characters, starting with a letter or digit';

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function parseTenantId(text: string): TenantId | undefined {
  return NAME.test(text) ? (text as TenantId) : undefined;
}

export function parseAdapterName(text: string): AdapterName | undefined {
  return NAME.test(text) ? (text as AdapterName) : undefined;
}

export function parseDigest(text: string): Digest | undefined {
  return DIGEST.test(text) ? (text as Digest) : undefined;
}

export function requestId(text: string): RequestId {
  return text as RequestId;
}

/** The tenant of an open server (loopback, no key yet). */
export const DEFAULT_TENANT = 'default' as TenantId;
/** Owner of the sample adapters, which every tenant may read. */
export const SAMPLES_TENANT = 'samples' as TenantId;
