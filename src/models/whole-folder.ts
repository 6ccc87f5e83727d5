// A folder that is whole or absent: made beside its place and moved there when it is done. Knows nothing of what lies in it.
import { mkdir, rename, rm } from 'node:fs/promises';

/** Replaces what was in `folder`. `write` fills the folder that it is given; when it throws, nothing is left of it. */
export async function writeWholeFolder(folder: string, write: (work: string) => Promise<void>): Promise<void> {
  const work = `${folder}.${process.pid}.partial`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    await write(work);
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}
