// tsx test/make-trained-adapters.ts: writes the adapters of test/fixtures/trained-adapters anew; make.py beside them then asks PEFT.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixturePath } from './support/repository.ts';
import { importTinyModel } from './support/tiny-model.ts';
import { METHODS, trainMethod } from './support/trained-adapters.ts';

const folder = mkdtempSync(join(tmpdir(), 'lorikeet-'));
try {
  await importTinyModel('tiny-llama', folder);
  for (const name of Object.keys(METHODS)) {
    const { adapter, result, steps } = await trainMethod(name, join(folder, 'tiny-llama'), join(folder, 'jobs'));
    const target = fixturePath(`trained-adapters/${name}`);
    mkdirSync(target, { recursive: true });
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) copyFileSync(join(adapter, file), join(target, file));
    const losses = steps.map(({ trainLoss }) => trainLoss.toFixed(3)).join(' ');
    console.log(name, losses, result.recompressionError ?? '');
  }
} finally {
  rmSync(folder, { recursive: true });
}
