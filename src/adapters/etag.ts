// Entity tags of adapter pointers (RFC 9110, 8.8.3 and 13.1.1). Strong: the generation never repeats for a name.
import type { Digest } from '../core/index.ts';

/** @returns the tag with its quotes, for example `"3-9f86d081884c7d65"`. */
export function pointerEtag(generation: number, activeDigest: Digest | null): string {
  return `"${generation}-${activeDigest?.slice(0, 16) ?? 'none'}"`;
}

/** Whether an If-Match header lets a change of the thing with this strong tag pass. Weak tags never match. */
export function ifMatchPasses(ifMatch: string, etag: string): boolean {
  return ifMatch
    .split(',')
    .map((candidate) => candidate.trim())
    .some((candidate) => candidate === '*' || candidate === etag);
}
