// The folder of a job below the data directory: checkpoints and result, written by the trainer, and the adapter that it begins with.
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobKeeper } from '../../adapters/index.ts';
import type { JobRow } from '../../storage/index.ts';

export const PEFT_FILES = ['adapter_config.json', 'adapter_model.safetensors'] as const;

export class JobFolders {
  readonly #root: string;
  readonly #keeper: Pick<BlobKeeper, 'path'>;

  /** @param root - folder of all jobs; only this class makes and removes what lies directly in it. */
  constructor(root: string, keeper: Pick<BlobKeeper, 'path'>) {
    this.#root = root;
    this.#keeper = keeper;
  }

  path(jobId: string): string {
    return join(this.#root, jobId);
  }

  resultFile(jobId: string, file: (typeof PEFT_FILES)[number]): string {
    return join(this.path(jobId), 'result', file);
  }

  /** Makes the folder ready for an attempt; what earlier attempts left stays. Answers where the adapter to continue from lies. */
  async prepare({ id, initial }: Pick<JobRow, 'id' | 'initial'>): Promise<string | null> {
    const folder = this.path(id);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (initial === null) return null;
    const target = join(folder, 'initial');
    if (existsSync(target)) return target;
    const half = join(folder, 'initial.part');
    await rm(half, { recursive: true, force: true });
    await mkdir(half, { mode: 0o700 });
    await copyFile(this.#keeper.path(initial.config), join(half, PEFT_FILES[0]));
    await copyFile(this.#keeper.path(initial.tensors), join(half, PEFT_FILES[1]));
    await rename(half, target);
    return target;
  }

  async remove(jobId: string): Promise<void> {
    await rm(this.path(jobId), { recursive: true, force: true, maxRetries: 3 });
  }

  /** At start: folders of jobs that have ended or are not there. */
  async removeAllBut(jobIds: ReadonlySet<string>): Promise<void> {
    const names = existsSync(this.#root) ? await readdir(this.#root) : [];
    for (const name of names.filter((candidate) => !jobIds.has(candidate))) await this.remove(name);
  }
}
