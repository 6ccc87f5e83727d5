// The tiny base models of test/fixtures, imported into a folder of the test; a few milliseconds each.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importModel } from '../../src/models/index.ts';
import { fixturePath } from './repository.ts';

export type TinyModel = 'tiny-llama' | 'tiny-llama-untied';

/** Imports a tiny model, at fp32, under its fixture's name. */
export async function importTinyModel(name: TinyModel, modelsDir: string): Promise<void> {
  await importModel({ source: fixturePath(name), id: name, modelsDir, precisions: ['fp32'] });
}

/** Imports tiny-llama's weights under another configuration, as `id`. Rejects as `importModel` does when it is not supported. */
export async function importTinyVariant(id: string, overrides: Readonly<Record<string, unknown>>, modelsDir: string): Promise<void> {
  const source = join(modelsDir, `.source-${id}`);
  cpSync(fixturePath('tiny-llama'), source, { recursive: true });
  const path = join(source, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...config, ...overrides }));
  await importModel({ source, id, modelsDir, precisions: ['fp32'] });
}
