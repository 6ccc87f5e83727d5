// What an executor makes for an adapter before a row has it: on another thread, while calls go on.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { PackedAdapter } from '../../src/adapters/packed.ts';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../src/engine/index.ts';
import { calibrate } from '../../src/models/calibration/index.ts';
import { ensureCompiled, importModel } from '../../src/models/index.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { randomAdapter } from './random-packed.ts';

const folder = temporaryFolder();

async function setUp() {
  const base = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
  await calibrate(base, { threadCount: 1 });
  const model = await ensureCompiled(base, 'w8a8');
  const adapters = [
    randomAdapter(base, 2, { linears: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'], extras: false }),
    randomAdapter(base, 3, { linears: ['down', 'k'], extras: true }),
  ];
  const open = (): ModelExecutor => createOrtExecutor({ model, threadCount: 1, allowSpinning: false, maxRows: 2, maxContext: 256 });
  return { adapters, open };
}

function logits(executor: ModelExecutor, adapter: PackedAdapter): Float32Array {
  executor.addRow(0, 32, adapter);
  const line = executor.run({ kind: 'prefill', row: 0, tokenIds: [5, 9, 40], startPosition: 0, logits: 'last' }).slice();
  executor.removeRow(0);
  return line;
}

it('levels that were made before a row joined are those that joining makes', async () => {
  const { adapters, open } = await setUp();
  const [before, meanwhile] = [open(), open()];
  await Promise.all(adapters.map(async (adapter) => await before.prepareAdapter(adapter)));
  for (const adapter of adapters) expect(logits(before, adapter)).toEqual(logits(meanwhile, adapter));
  for (const one of [before, meanwhile]) one.close();
});

it('an executor that is closed meanwhile ends what it began, and begins no more', async () => {
  const { adapters, open } = await setUp();
  const executor = open();
  const unfinished = adapters.map(async (adapter) => await executor.prepareAdapter(adapter));
  executor.close();
  await Promise.all(unfinished);
  await expect(Promise.all(adapters.map(async (adapter) => await executor.prepareAdapter(adapter)))).rejects.toThrow('was closed');
});
