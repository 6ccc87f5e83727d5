// Publishing a folder of sample adapters.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { openTinyRegistry, tinyAdapter } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import type { TenantId } from '../core/index.ts';
import { openMemoryStorage } from '../storage/index.ts';
import { publishSamples } from './index.ts';

const ACME = 'acme' as TenantId;
const root = temporaryFolder();

function writeSample(folder: string, name: string, seed: number): void {
  const { config, tensors } = tinyAdapter(seed);
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, 'adapter_config.json'), config);
  writeFileSync(join(folder, name, 'adapter_model.safetensors'), tensors);
}

it('follows the folder: new samples appear, changed ones get a version, unchanged ones stay, lost ones go', async () => {
  const folder = join(root, 'samples');
  const registry = await openTinyRegistry(openMemoryStorage(join(root, 'blobs')));
  const seen = (): readonly string[] => registry.list(ACME).map(({ name, active }) => `${name}@${active?.version ?? 'none'}`);
  for (const [index, name] of ['clerk', 'poet'].entries()) writeSample(folder, name, index);
  writeFileSync(join(folder, 'README.md'), 'not a sample');

  await publishSamples(registry, folder);
  expect(seen()).toEqual(['clerk@1', 'poet@1']);
  writeSample(folder, 'poet', 9);
  rmSync(join(folder, 'clerk'), { recursive: true });
  writeSample(folder, 'sage', 4);
  await publishSamples(registry, folder);
  await publishSamples(registry, folder);
  expect(seen()).toEqual(['poet@2', 'sage@1']);
});

it('refuses a folder that is no adapter name', async () => {
  const folder = join(root, 'misnamed');
  const registry = await openTinyRegistry(openMemoryStorage(join(root, 'misnamed-blobs')));
  writeSample(folder, 'Not A Name', 1);
  expect((await refusalOf(() => publishSamples(registry, folder))).message).toContain('Not A Name');
});
