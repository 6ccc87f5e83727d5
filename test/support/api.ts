// A client of the public HTTP API for tests: plain fetch, no SDK, so that statuses, headers and broken bodies stay visible.
import type { AdapterFilePair } from './adapter-files.ts';
import { parsePrometheus, type MetricReading } from './prometheus.ts';
import { readEvents } from './event-stream.ts';

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
}

export interface Completion {
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly finish_reason: string | null;
}

export interface CompletionStream {
  /** `name@version` of the adapter that answers; null: the base. */
  readonly adapterId: string | null;
  /** Data of each event, `[DONE]` included. */
  readonly events: AsyncGenerator<string>;
}

export interface AdapterSummary {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
}

export class Api {
  readonly url: string;
  readonly #key: string | undefined;

  /** `key`: sent as bearer token. */
  constructor(url: string, key?: string) {
    this.url = url;
    this.#key = key;
  }

  send(method: string, path: string, init: Omit<RequestInit, 'method'> = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#key !== undefined) headers.set('authorization', `Bearer ${this.#key}`);
    return fetch(`${this.url}${path}`, { ...init, method, headers });
  }

  async call(method: string, path: string, init: Omit<RequestInit, 'method'> = {}): Promise<ApiAnswer> {
    const response = await this.send(method, path, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  post(path: string, body: unknown): Promise<Response> {
    return this.send('POST', path, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  }

  /** The one choice of a completion. Rejects with the server's words unless it answers 200. */
  async complete(body: Readonly<Record<string, unknown>>): Promise<Completion> {
    const answer = await expectJson<{ choices: Completion[] }>(await this.post('/v1/completions', body), 200);
    const [choice] = answer.choices;
    if (choice === undefined) throw new Error('the completion has no choice');
    return choice;
  }

  async streamCompletion(body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<CompletionStream> {
    const response = await this.send('POST', '/v1/completions', {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
      ...(signal !== undefined && { signal }),
    });
    if (response.status !== 200) throw new Error(`stream: status ${response.status}, ${await response.text()}`);
    return { adapterId: response.headers.get('x-adapter-id'), events: readEvents(response) };
  }

  putAdapter(name: string, files: AdapterFilePair, query = ''): Promise<Response> {
    return this.send('PUT', `/v1/adapters/${name}${query}`, { body: adapterForm(files) });
  }

  /** Uploads and answers the new version. Rejects with the server's words when it is refused. */
  async upload(name: string, files: AdapterFilePair, query = ''): Promise<AdapterSummary> {
    const response = await this.putAdapter(name, files, query);
    if (response.status !== 200 && response.status !== 201)
      throw new Error(`upload of ${name}: status ${response.status}, ${await response.text()}`);
    return (await response.json()) as AdapterSummary;
  }

  /** Uploads one GGUF file. Rejects with the server's words when it is refused. */
  async uploadGguf(name: string, gguf: Uint8Array): Promise<AdapterSummary> {
    const form = new FormData();
    form.set('adapter', new Blob([gguf.slice()]), 'adapter.gguf');
    return await expectJson<AdapterSummary>(await this.send('PUT', `/v1/adapters/${name}`, { body: form }), 201);
  }

  /** The first version of an adapter as GGUF; else the server's status and words. */
  async exportGguf(name: string): Promise<Uint8Array | { readonly status: number; readonly text: string }> {
    const response = await this.send('GET', `/v1/adapters/${name}/versions/1/export?format=gguf`);
    return response.status === 200
      ? new Uint8Array(await response.arrayBuffer())
      : { status: response.status, text: await response.text() };
  }

  /** Moves the pointer, whatever it is now. */
  async activate(name: string, version: number): Promise<void> {
    const current = await this.send('GET', `/v1/adapters/${name}`);
    await expectJson(current, 200);
    const response = await this.send('PUT', `/admin/adapters/${name}/active`, {
      headers: { 'content-type': 'application/json', 'if-match': current.headers.get('etag') ?? '' },
      body: JSON.stringify({ version }),
    });
    await expectJson(response, 200);
  }

  async metrics(): Promise<MetricReading> {
    const { status, text } = await this.call('GET', '/metrics');
    if (status !== 200) throw new Error(`/metrics: status ${status}, ${text}`);
    return parsePrometheus(text);
  }

  async isReady(): Promise<boolean> {
    return (await this.call('GET', '/readyz')).status === 200;
  }
}

/** PEFT's two files as a form. */
export function adapterForm(files: AdapterFilePair): FormData {
  const form = new FormData();
  form.set('adapter_config.json', new Blob([files.config.slice()], { type: 'application/json' }), 'adapter_config.json');
  form.set('adapter_model.safetensors', new Blob([files.tensors.slice()]), 'adapter_model.safetensors');
  return form;
}

async function expectJson<T>(response: Response, status: number): Promise<T> {
  const text = await response.text();
  if (response.status !== status) throw new Error(`${response.url}: status ${response.status}, ${text}`);
  return JSON.parse(text) as T;
}
