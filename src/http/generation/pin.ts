// What a request pins before it runs: nothing for the base, one version, or a mix of several. One shape for all of them.
import { parseMix, type AdapterVersion } from '../../adapters/index.ts';
import type { Digest, TenantId } from '../../core/index.ts';
import type { AppServices } from '../services.ts';
import type { AdapterChoice } from './reference.ts';

export interface PinnedAdapter {
  /** `name@version`, or a mix of them in its canonical form. */
  readonly label: string;
  /** Of the packed form that the engine applies; null: a mix that is the base itself. */
  readonly digest: Digest | null;
  /** More than one for a mix. */
  readonly versions: readonly AdapterVersion[];
  release(): void;
}

/** `splitKey` chooses between an active version and its canary. @throws AppError as the registry's `lease` and `leaseMix`, `invalid_request` for a malformed mix; nothing stays pinned then. */
export async function pinAdapter(
  { adapters }: AppServices,
  tenant: TenantId,
  choice: AdapterChoice,
  splitKey: string,
): Promise<PinnedAdapter | null> {
  if (choice === null) return null;
  if (typeof choice !== 'string') return await adapters.leaseMix(tenant, choice, splitKey);
  const mix = parseMix(choice);
  if (mix !== undefined) return await adapters.leaseMix(tenant, mix, splitKey);
  const lease = adapters.lease(tenant, choice, splitKey);
  const { version } = lease;
  return { label: `${version.name}@${version.version}`, digest: version.digest, versions: [version], release: () => lease.release() };
}
