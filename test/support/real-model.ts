// The default base model, pulled and imported once a machine into the folder that `npm run up` uses too.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runLorikeet } from './command-line.ts';
import { repositoryPath } from './repository.ts';

export const REAL_MODEL = 'smollm2-135m-instruct';

export const REAL_MODELS_DIR = repositoryPath('models');

/** Folder of the imported package; fetches it (about 98 MB) when this machine has none. */
export async function realModelFolder(): Promise<string> {
  const folder = join(REAL_MODELS_DIR, REAL_MODEL);
  if (!existsSync(join(folder, 'model.json')))
    await runLorikeet(['pull', REAL_MODEL, '--models-dir', REAL_MODELS_DIR], repositoryPath('.'));
  return folder;
}
