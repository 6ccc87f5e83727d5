// An adapter registry for the tiny base over some storage, and uploads from memory.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openAdapterRegistry, type AdapterRegistry, type AdapterRegistryParts, type AdapterVersion } from '../../src/adapters/index.ts';
import type { AdapterName, TenantId } from '../../src/core/index.ts';
import type { Storage } from '../../src/storage/index.ts';
import { plainAdapter, type AdapterFilePair } from './adapter-files.ts';
import { TINY_BASE, tinyWeights } from './tiny-base.ts';

export async function openTinyRegistry(storage: Storage, parts: Partial<AdapterRegistryParts> = {}): Promise<AdapterRegistry> {
  return await openAdapterRegistry({ storage, base: TINY_BASE, weights: tinyWeights(), maxRank: 128, ...parts });
}

/** An adapter that fits the tiny base; equal seeds give equal bytes. */
export function tinyAdapter(seed: number): AdapterFilePair {
  return plainAdapter(seed, TINY_BASE.hiddenSize);
}

let uploadCount = 0;

/** Uploads two files from memory and activates the version unless told otherwise. */
export async function uploadFiles(
  registry: AdapterRegistry,
  target: { readonly tenant: TenantId; readonly name: AdapterName },
  files: AdapterFilePair,
  activate = true,
): Promise<{ readonly version: AdapterVersion; readonly created: boolean }> {
  uploadCount += 1;
  const folder = join(registry.uploadFolder, `test-upload-${uploadCount}`);
  mkdirSync(folder);
  const parts = [
    { fileName: 'adapter_config.json', path: join(folder, 'config') },
    { fileName: 'adapter_model.safetensors', path: join(folder, 'tensors') },
  ] as const;
  writeFileSync(parts[0].path, files.config);
  writeFileSync(parts[1].path, files.tensors);
  return await registry.upload(target.tenant, target.name, parts, { activate });
}
