// Calibration runs in a child of the command that imports, from its sources.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelPackage, readCalibration } from '../../src/models/index.ts';
import { runLorikeet } from '../support/command-line.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();
const IMPORT = ['import', fixturePath('tiny-llama'), '--id', 'tiny', '--kv-precision', 'int8', '--models-dir', 'models'];

describe('an import for an int8 cache', () => {
  it('calibrates the model', async () => {
    const workingDirectory = join(folder, 'works');
    mkdirSync(workingDirectory);
    await runLorikeet(IMPORT, workingDirectory);
    const model = await openModelPackage(join(workingDirectory, 'models', 'tiny'));
    expect(await readCalibration(model.folder, model.record.digest)).not.toBeNull();
  });

  it('says why the calibrating process failed', async () => {
    const workingDirectory = join(folder, 'fails');
    mkdirSync(workingDirectory);
    writeFileSync(join(workingDirectory, 'lorikeet.config.json'), JSON.stringify({ ortLibrary: 'no-such-library.so' }));
    await expect(runLorikeet(IMPORT, workingDirectory)).rejects.toThrow(/could not be calibrated.*no-such-library\.so/s);
  });
});
