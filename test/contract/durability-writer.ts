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
  acknowledge(`${JSON.stringify({ name, version, packedDigest, keyId: id })}\n`);
}

/** Synchronous, so that what the parent reads was acknowledged and what was acknowledged is read. Waits while the parent does not read. */
function acknowledge(line: string): void {
  const bytes = Buffer.from(line);
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(1, bytes, written);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
