// What a tenant may use, by name and page by page: its own adapters, and the samples that none of its own hides.
import { SAMPLES_TENANT, type TenantId } from '../core/index.ts';
import type { AdapterStore, NamePage } from '../storage/index.ts';
import type { AdapterSummary } from './port.ts';
import { summarize } from './summary.ts';

/** Two queries an owner, whatever the page's length. */
export function listAdapters(store: AdapterStore, tenant: TenantId, page: NamePage): readonly AdapterSummary[] {
  const own = ownedPage(store, tenant, tenant, page);
  if (tenant === SAMPLES_TENANT) return own;
  const ownNames = new Set(own.map((summary) => summary.name));
  // A name of the tenant's own that is not in this page is behind it, and so is what it hides: the cut drops both.
  const shared = ownedPage(store, SAMPLES_TENANT, tenant, page).filter((summary) => !ownNames.has(summary.name));
  if (shared.length === 0) return own;
  return [...own, ...shared].toSorted((left, right) => (left.name < right.name ? -1 : 1)).slice(0, page.limit);
}

function ownedPage(store: AdapterStore, owner: TenantId, reader: TenantId, page: NamePage): readonly AdapterSummary[] {
  const rows = store.adapters(owner, page);
  const last = rows.at(-1);
  if (last === undefined) return [];
  const versions = store.activeVersions(owner, { after: page.after ?? '', through: last.name });
  const active = new Map(versions.map((version) => [version.name, version]));
  return rows.map((row) => summarize(row, active.get(row.name) ?? null, owner !== reader));
}
