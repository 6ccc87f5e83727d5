// Merged forms of adapters on disk, by digest: found, or made outside of this process. Few are kept; those of adapters that are gone are removed.
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Digest } from '../../core/index.ts';
import { type CompiledModel, type MergedForm, openMergedForm, touchMergedForm } from '../../models/index.ts';

export interface MergedFormsOptions {
  /** Holds a folder `<digest>.<precision>.<cache precision>` for each form. */
  readonly folder: string;
  /** What sessions over the forms share their other weights with. */
  readonly base: CompiledModel;
  /** Makes the form of an adapter in that folder, taking no time of this process. @throws AppError that says why it cannot be made. */
  readonly make: (digest: Digest, folder: string) => Promise<void>;
  /** The packed adapter is still stored. */
  readonly isStored: (digest: Digest) => Promise<boolean>;
  /** Forms that stay on disk. */
  readonly keepCount: number;
  readonly clock: Clock;
}

export class MergedForms {
  readonly #options: MergedFormsOptions;
  readonly #suffix: string;

  constructor(options: MergedFormsOptions) {
    this.#options = options;
    this.#suffix = `.${options.base.precision}.${options.base.kvScales ? 'int8' : 'fp32'}`;
  }

  /** @throws AppError that says why it cannot be made. */
  async prepare(digest: Digest): Promise<MergedForm> {
    const { base, clock, make } = this.#options;
    const folder = join(this.#options.folder, `${digest}${this.#suffix}`);
    if ((await openMergedForm(folder, base)) === null) await make(digest, folder);
    const form = await openMergedForm(folder, base);
    if (form === null) throw new Error(`the merged form in ${folder} was made, but cannot be opened`);
    await touchMergedForm(folder, new Date(clock.now()));
    await this.sweep();
    return form;
  }

  /** Removes forms of adapters that are not stored any more, and those beyond the count that were used longest ago. Sessions over them go on. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#options.folder).catch(() => []);
    const forms = await Promise.all(names.map(async (name) => ({ name, usedMs: await modifiedMs(join(this.#options.folder, name)) })));
    let kept = 0;
    for (const { name } of forms.toSorted((a, b) => b.usedMs - a.usedMs)) {
      // What is being made has a longer name, and belongs to the process that makes it.
      const isWhole = name.endsWith(this.#suffix);
      const digest = name.slice(0, name.indexOf('.')) as Digest;
      const stays =
        (!isWhole && name.endsWith('.partial')) || (isWhole && kept < this.#options.keepCount && (await this.#options.isStored(digest)));
      if (!stays) await rm(join(this.#options.folder, name), { recursive: true, force: true });
      else if (isWhole) kept += 1;
    }
  }
}

async function modifiedMs(path: string): Promise<number> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
