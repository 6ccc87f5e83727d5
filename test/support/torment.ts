// Random changes of a few adapters through the HTTP API, with a model of what they should lead to. Seeded: one seed, one history.
import type { Api } from './api.ts';
import type { CertainAdapter } from './certain-answers.ts';

/** Counts the changes that began and ended so far. */
export type Moment = number;

const NAMES = ['torment-0', 'torment-1', 'torment-2', 'torment-3'] as const;
/** Each kind of change as often as it stands here. */
const KINDS = [
  'swap',
  'swap',
  'swap',
  'rollback',
  'rollback',
  'canary',
  'upload',
  'upload',
  'stage',
  'copy',
  'remove-version',
  'remove-version',
  'unload',
  'remove',
] as const;
type Kind = (typeof KINDS)[number];

interface Adapter {
  readonly versions: Map<number, CertainAdapter>;
  active: number | null;
}

export class Torment {
  static readonly KINDS: ReadonlySet<string> = new Set(KINDS);
  /** How often each kind of change was made. */
  readonly counts = new Map<Kind, number>();
  readonly #api: Api;
  readonly #contents: readonly CertainAdapter[];
  readonly #adapters = new Map<string, Adapter>(NAMES.map((name) => [name, { versions: new Map(), active: null }]));
  /** `name@version` of everything that ever was. */
  readonly #history = new Map<string, CertainAdapter>();
  /** Moments at which a name may not have been there. */
  readonly #absences = new Map<string, Set<Moment>>(NAMES.map((name) => [name, new Set()]));
  #state: number;
  #now: Moment = 0;

  constructor(api: Api, contents: readonly CertainAdapter[], seed: number) {
    this.#api = api;
    this.#contents = contents;
    this.#state = seed >>> 0;
  }

  get now(): Moment {
    return this.#now;
  }

  /** Every name gets its first two versions. */
  async begin(): Promise<void> {
    for (const name of NAMES) for (const activate of [false, true]) await this.#upload(name, activate);
  }

  someName(): string {
    return this.#pick(NAMES);
  }

  contentOf(adapterId: string): CertainAdapter | undefined {
    return this.#history.get(adapterId);
  }

  wasAbsent(name: string, from: Moment, to: Moment): boolean {
    const absences = this.#absences.get(name);
    for (let moment = from; moment <= to; moment += 1) if (absences?.has(moment) === true) return true;
    return false;
  }

  /** What the server has now; fails unless that is what the model has. */
  async stored(): Promise<readonly { readonly digest: string; readonly content: CertainAdapter }[]> {
    const all: { readonly digest: string; readonly content: CertainAdapter }[] = [];
    for (const [name, { versions }] of this.#adapters) {
      if (versions.size === 0) continue;
      const { data } = await this.#json<{ data: { version: number; digest: string }[] }>('GET', `/v1/adapters/${name}/versions`);
      if (data.map(({ version }) => version).join() !== [...versions.keys()].join())
        throw new Error(`${name} has versions ${data.map(({ version }) => version).join()}, expected ${[...versions.keys()].join()}`);
      for (const { version, digest } of data) {
        const content = versions.get(version);
        if (content !== undefined) all.push({ digest, content });
      }
    }
    return all;
  }

  /** Makes one change that the present state allows. Rejects when the server refuses it. */
  async change(): Promise<void> {
    const name = this.someName();
    const kind = this.#pick(KINDS);
    const adapter = this.#adapter(name);
    const possible = adapter.versions.size === 0 && kind !== 'copy' ? 'upload' : kind;
    // Before and after: a request may meet either state while the change is on its way.
    this.#note(name, adapter);
    await this.#make(possible, name, adapter);
    this.counts.set(possible, (this.counts.get(possible) ?? 0) + 1);
    this.#note(name, adapter);
  }

  #note(name: string, { active }: Adapter): void {
    if (active === null) this.#absences.get(name)?.add(this.#now);
    this.#now += 1;
    for (const [each, adapter] of this.#adapters) if (adapter.active === null) this.#absences.get(each)?.add(this.#now);
  }

  async #make(kind: Kind, name: string, adapter: Adapter): Promise<void> {
    switch (kind) {
      case 'swap':
        return await this.#activate(name, adapter, this.#pick([...adapter.versions.keys()]));
      case 'rollback': {
        const previous = [...adapter.versions.keys()].findLast((version) => version < (adapter.active ?? Infinity));
        return await this.#activate(name, adapter, previous ?? this.#pick([...adapter.versions.keys()]));
      }
      case 'canary': {
        const [version, canary] = [this.#pick([...adapter.versions.keys()]), this.#pick([...adapter.versions.keys()])];
        return await this.#activate(name, adapter, version, canary === version ? null : { version: canary, share: 0.5 });
      }
      case 'upload':
      case 'stage':
        return await this.#upload(name, kind === 'upload');
      case 'copy':
        return await this.#copy(name, adapter);
      case 'remove-version': {
        const version = this.#pick([...adapter.versions.keys()]);
        await this.#json('DELETE', `/v1/adapters/${name}/versions/${version}`);
        adapter.versions.delete(version);
        if (adapter.active === version) adapter.active = null;
        return undefined;
      }
      case 'unload':
        if (adapter.active === null) return await this.#activate(name, adapter, this.#pick([...adapter.versions.keys()]));
        await this.#call('POST', '/v1/unload_lora_adapter', { lora_name: name });
        adapter.active = null;
        return undefined;
      case 'remove':
        await this.#json('DELETE', `/v1/adapters/${name}`);
        adapter.versions.clear();
        adapter.active = null;
        return undefined;
    }
  }

  async #activate(name: string, adapter: Adapter, version: number, canary: object | null = null): Promise<void> {
    const { etag } = await this.#json<{ etag: string }>('GET', `/v1/adapters/${name}`);
    await this.#call('PUT', `/admin/adapters/${name}/active`, { version, canary }, { 'if-match': etag });
    adapter.active = version;
  }

  async #upload(name: string, activate: boolean): Promise<void> {
    const content = this.#pick(this.#contents);
    const { version } = await this.#api.upload(name, content.files, `?activate=${activate}`);
    this.#stored(name, version, content, activate);
  }

  /** The bytes of another name, under this one. */
  async #copy(name: string, adapter: Adapter): Promise<void> {
    const sources = [...this.#adapters].flatMap(([source, { versions }]) =>
      [...versions].map(([version, content]) => ({ source, version, content })),
    );
    if (sources.length === 0) return await this.#upload(name, true);
    const { source, version, content } = this.#pick(sources);
    const body = { lora_name: name, lora_path: `${source}@${version}`, load_inplace: adapter.active !== null };
    await this.#call('POST', '/v1/load_lora_adapter', body);
    const made = await this.#json<{ version: number }>('GET', `/v1/adapters/${name}`);
    this.#stored(name, made.version, content, true);
  }

  #stored(name: string, version: number, content: CertainAdapter, isActive: boolean): void {
    const adapter = this.#adapter(name);
    adapter.versions.set(version, content);
    this.#history.set(`${name}@${version}`, content);
    if (isActive) adapter.active = version;
  }

  #adapter(name: string): Adapter {
    const adapter = this.#adapters.get(name);
    if (adapter === undefined) throw new Error(`${name} is none of ${NAMES.join()}`);
    return adapter;
  }

  async #json<T>(method: string, path: string): Promise<T> {
    return JSON.parse(await this.#call(method, path)) as T;
  }

  async #call(method: string, path: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const content = body && { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const { status, text } = await this.#api.call(method, path, content);
    if (status !== 200) throw new Error(`${method} ${path} ${JSON.stringify(body ?? null)}: status ${status}, ${text}`);
    return text;
  }

  /** xorshift32 (Marsaglia 2003). */
  #pick<T>(values: readonly T[]): T {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    const value = values[this.#state % values.length];
    if (value === undefined) throw new Error('there is nothing to pick');
    return value;
  }
}
