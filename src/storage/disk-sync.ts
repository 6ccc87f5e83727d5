// Waiting until bytes and names are on the disk, so that they survive a power cut.
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';

export interface DiskSync {
  /** Makes a file's bytes durable. Its name still needs `folder`. */
  file(filePath: string): Promise<void>;
  /** Makes creations, renames and removals inside a folder durable. */
  folder(folder: string): Promise<void>;
}

export const diskSync = {
  file: (filePath: string) => sync(filePath, 'r+'),
  folder: (folder: string) => sync(folder, 'r'),
  folderNow: (folder: string): void => {
    const descriptor = openSync(folder, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  },
} satisfies DiskSync & { folderNow(folder: string): void };

export const noDiskSync: DiskSync = { file: () => Promise.resolve(), folder: () => Promise.resolve() };

async function sync(filePath: string, flags: 'r' | 'r+'): Promise<void> {
  const handle = await open(filePath, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
