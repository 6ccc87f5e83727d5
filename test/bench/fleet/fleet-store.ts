// A data folder with thousands of registered adapters: real rows, real blobs. All blobs of a kind are hard links to one file, under digests of
// their own, so that the disk need not hold them all; to the server they are different adapters.
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openAdapterRegistry } from '../../../src/adapters/index.ts';
import { DEFAULT_TENANT, type AdapterName, type Digest } from '../../../src/core/index.ts';
import type { ModelPackage } from '../../../src/models/index.ts';
import { openStorage, type Storage } from '../../../src/storage/index.ts';
import { randomPeftAdapter } from '../load/random-peft-adapter.ts';

const RANK = 8;
const MODULES = ['q_proj', 'v_proj'] as const;

export function fleetName(index: number): AdapterName {
  return `fleet-${String(index).padStart(5, '0')}` as AdapterName;
}

/**
 * The first adapter is uploaded as any other; the others are its rows again, each with digests of its own, whose files are links to the first one's. So the system
 * has them all in its cache: what a cold adapter costs is measured without the disk.
 */
export async function fillFleet(dataDir: string, model: ModelPackage, count: number): Promise<void> {
  const storage = openStorage(dataDir);
  try {
    await upload(storage, model);
    const [first] = storage.adapters.versions(DEFAULT_TENANT, fleetName(0));
    if (first === undefined) throw new Error('the first adapter of the fleet was not stored');
    const { version: _version, ...row } = first;
    for (let index = 1; index < count; index += 1) {
      const own = (digest: Digest): Digest => linkedBlob(storage, digest, `${index} ${digest}`);
      const files = row.files.map((file) => ({ ...file, digest: own(file.digest) }));
      storage.adapters.addVersion({ ...row, name: fleetName(index), packedDigest: own(row.packedDigest), files }, { activate: true });
    }
  } finally {
    storage.close();
  }
}

async function upload(storage: Storage, { description, weights }: ModelPackage): Promise<void> {
  const registry = await openAdapterRegistry({ storage, base: description, weights, maxRank: RANK });
  const { config, tensors } = randomPeftAdapter(description, RANK, 0, MODULES);
  const parts = [
    { fileName: 'adapter_config.json', path: join(registry.uploadFolder, 'config') },
    { fileName: 'adapter_model.safetensors', path: join(registry.uploadFolder, 'tensors') },
  ] as const;
  writeFileSync(parts[0].path, config);
  writeFileSync(parts[1].path, tensors);
  await registry.upload(DEFAULT_TENANT, fleetName(0), parts, { activate: true });
  await registry.settled();
}

function linkedBlob({ blobs }: Storage, digest: Digest, seed: string): Digest {
  const own = createHash('sha256').update(seed).digest('hex') as Digest;
  mkdirSync(dirname(blobs.path(own)), { recursive: true });
  linkSync(blobs.path(digest), blobs.path(own));
  return own;
}
