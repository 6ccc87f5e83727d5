// The child of the kill test: stores blobs, versions, pointers and keys for ever and prints a line for each that was acknowledged.
import { writeSync } from 'node:fs';
import type { AdapterName, TenantId } from '../../src/core/index.ts';
import { openStorage } from '../../src/storage/index.ts';
import { digestOf, versionRow } from './rows.ts';

const [dataDir = '', cycle = '0'] = process.argv.slice(2);
const tenant = 'acme' as TenantId;
const storage = openStorage(dataDir);
for (let count = 0; ; count += 1) {
  const content = `cycle ${cycle} blob ${count} ${'x'.repeat((count % 7) * 5000)}`;
  const name = `adapter-${count % 3}` as AdapterName;
  const packedDigest = await storage.blobs.put(Buffer.from(content));
  const row = { ...versionRow(tenant, name, content), packedDigest, files: [] };
  const { version } = storage.adapters.addVersion(row, { activate: true });
  const id = `key-${cycle}-${count}`;
  storage.keys.add({ id, tenant, role: 'admin', secretDigest: digestOf(id), createdAtMs: count, lastUsedAtMs: null });
  // Synchronous, so that what the parent reads was acknowledged and what was acknowledged is read.
  writeSync(1, `${JSON.stringify({ name, version, packedDigest, keyId: id })}\n`);
}
