// Sessions of merged adapters, by digest. Each shares what the adapter leaves as it is with the base's sessions.
import type { Digest } from '../../core/index.ts';
import type { MergedForm } from '../../models/index.ts';
import type { MergedForms } from './merged-forms.ts';
import type { NativeWork } from './native-work.ts';
import type { ChosenSession, SessionTable } from './session-table.ts';

export class MergedSessions {
  readonly #forms: MergedForms | null;
  readonly #table: SessionTable;
  readonly #prepared = new Map<Digest, MergedForm>();
  readonly #sessions = new Map<Digest, ChosenSession>();
  readonly #work: NativeWork;

  /** Without forms nothing can be merged. */
  constructor(forms: MergedForms | null, table: SessionTable, work: NativeWork) {
    this.#forms = forms;
    this.#table = table;
    this.#work = work;
  }

  async prepare(digest: Digest): Promise<void> {
    if (this.#forms === null) throw new Error('this executor merges no adapters');
    this.#prepared.set(digest, await this.#forms.prepare(digest));
  }

  /** Answers the bytes of the weights that are its own. */
  async load(digest: Digest): Promise<number> {
    const form = this.#prepared.get(digest);
    if (form === undefined) throw new Error(`adapter ${digest} was not prepared`);
    if (this.#sessions.has(digest)) return form.bytes;
    const work = this.#work;
    await work.run(async () => {
      const chosen = await this.#table.createMerged(form);
      if (work.isClosed) {
        chosen.session.dispose();
        throw new Error('the executor was closed');
      }
      this.#sessions.set(digest, chosen);
    });
    return form.bytes;
  }

  /** @throws Error when it was not loaded. */
  session(digest: Digest): ChosenSession {
    const chosen = this.#sessions.get(digest);
    if (chosen === undefined) throw new Error(`adapter ${digest} is not merged`);
    return chosen;
  }

  drop(digest: Digest): void {
    this.#sessions.get(digest)?.session.dispose();
    this.#sessions.delete(digest);
    this.#prepared.delete(digest);
  }

  dispose(): void {
    for (const digest of this.#sessions.keys()) this.drop(digest);
  }
}
