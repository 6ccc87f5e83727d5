// Adapters as PEFT saved them (test/fixtures): every one is read, and written again byte for byte.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findNonFinite, readSafetensors, tensorToFloat32, writeSafetensors } from '../safetensors/index.ts';
import { groupLoraTensors, parseAdapterConfig, requireTensorsMatchConfig, resolveScale } from './index.ts';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/', import.meta.url));
const CONFIG_FILE = 'adapter_config.json';
const FOLDERS = ['parity/adapters', 'tiny-adapters', 'tiny-adapters-untied', 'tiny-adapters-merged']
  .flatMap((parent) => readdirSync(join(FIXTURES, parent)).map((name) => join(parent, name)))
  .filter((folder) => !folder.includes('.') && !folder.endsWith('refused'));

describe('adapters that PEFT saved', () => {
  it('are there', () => {
    expect(FOLDERS.length).toBeGreaterThan(20);
  });

  it.each(FOLDERS)('%s is understood whole', (folder) => {
    const config = parseAdapterConfig(readFileSync(join(FIXTURES, folder, CONFIG_FILE), 'utf8'));
    const bytes = readFileSync(join(FIXTURES, folder, 'adapter_model.safetensors'));
    const file = readSafetensors(bytes);
    const groups = groupLoraTensors(file.tensors.keys());
    requireTensorsMatchConfig(config, groups);
    for (const group of groups) {
      if (group.form === 'replaced') continue;
      const rank = file.tensors.get(group.form === 'linear' ? group.a : group.embeddingA)?.shape[0] ?? 0;
      expect(resolveScale(config, group.module, rank)).toBeGreaterThan(0);
    }
    for (const tensor of file.tensors.values()) expect(findNonFinite(tensorToFloat32(tensor))).toBeUndefined();
    expect(Buffer.compare(writeSafetensors(file.tensors.values(), file.metadata), bytes)).toBe(0);
  });
});
