// Publishes the sample adapters of a folder for all tenants.
import { copyFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { AppError, parseAdapterName, SAMPLES_TENANT } from '../core/index.ts';
import type { AdapterRegistry, AdapterVersion, UploadPart } from './port.ts';

const FILE_NAMES: readonly UploadPart['fileName'][] = ['adapter_config.json', 'adapter_model.safetensors'];

/**
 * Makes the samples those of `folder`: every subfolder is uploaded and activated, unchanged bytes stay as they are, and samples whose
 * folder is gone are removed.
 * @throws AppError as `AdapterRegistry.upload`, and `invalid_adapter` for a folder whose name is no adapter name.
 */
export async function publishSamples(registry: AdapterRegistry, folder: string): Promise<readonly AdapterVersion[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const published: AdapterVersion[] = [];
  for (const entry of entries.filter((candidate) => candidate.isDirectory()).toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const name = parseAdapterName(entry.name);
    if (name === undefined) throw new AppError('invalid_adapter', `the sample folder ${JSON.stringify(entry.name)} is no adapter name`);
    const parts = FILE_NAMES.map((fileName) => ({ fileName, path: path.join(registry.uploadFolder, `sample-${name}-${fileName}`) }));
    for (const part of parts) await copyFile(path.join(folder, name, part.fileName), part.path);
    const { version } = await registry.upload(SAMPLES_TENANT, name, parts, { activate: true });
    published.push(version);
  }
  const names = new Set(published.map((version) => version.name));
  for (const { name } of registry.list(SAMPLES_TENANT)) {
    if (!names.has(name)) registry.remove(SAMPLES_TENANT, name);
  }
  return published;
}
