// Folders that are whole or absent: written beside their place, made durable, then renamed.
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Beside the real names, which are numbers and words. */
const UNFINISHED = '.unfinished-';

/** Writes all files of a folder that is not there yet. After it resolves, the folder survives a crash of process and system. */
export async function writeFolder(path: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const parent = dirname(path);
  const unfinished = join(parent, `${UNFINISHED}${basename(path)}`);
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  for (const [name, bytes] of files) {
    const file = await open(join(unfinished, name), 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncFolder(unfinished);
  await rename(unfinished, path);
  await syncFolder(parent);
}

/** Removes what crashed writers left. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(UNFINISHED)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
