// Training through the public API, as tests of whole servers use it: upload rows, make a job, follow it to its end.
import type { Api } from './api.ts';
import { readEvents } from './event-stream.ts';

export interface JobAnswer {
  readonly id: string;
  readonly status: string;
  readonly fine_tuned_model: string | null;
  readonly adapter_version: number | null;
  readonly adapter_digest: string | null;
  readonly result_files: readonly string[];
  readonly error: { readonly message: string } | null;
}

export interface JobStep {
  readonly step: number;
  readonly train_loss: number;
  readonly grad_norm: number;
  readonly valid_loss?: number;
}

export async function uploadRows(api: Api, rows: string): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([rows]), 'rows.jsonl');
  return (await json<{ id: string }>(await api.send('POST', '/v1/files', { body: form }))).id;
}

/** @param hyperparameters - those of `method.supervised`. */
export async function createJob(
  api: Api,
  body: Readonly<Record<string, unknown>>,
  hyperparameters: Readonly<Record<string, unknown>>,
): Promise<JobAnswer> {
  const method = { type: 'supervised', supervised: { hyperparameters } };
  return await json(await api.post('/v1/fine_tuning/jobs', { ...body, method }));
}

export async function readJob(api: Api, id: string): Promise<JobAnswer> {
  return await json(await api.send('GET', `/v1/fine_tuning/jobs/${id}`));
}

/** Steps that are recorded, by number. */
export async function readSteps(api: Api, id: string): Promise<readonly JobStep[]> {
  const steps: JobStep[] = [];
  for (let after = ''; ;) {
    const path = `/v1/fine_tuning/jobs/${id}/events?limit=100${after === '' ? '' : `&after=${after}`}`;
    const page = await json<{ data: { id: string; data: JobStep | null }[]; has_more: boolean }>(await api.send('GET', path));
    steps.push(...page.data.flatMap(({ data }) => data ?? []));
    if (!page.has_more) return steps.toReversed();
    after = page.data.at(-1)?.id ?? '';
  }
}

/** Follows the job's events until it has ended; `onStep` is called for each step as it comes. */
export async function followJob(api: Api, id: string, onStep: (step: JobStep) => void = () => undefined): Promise<JobAnswer> {
  const response = await api.send('GET', `/v1/fine_tuning/jobs/${id}/events?stream=true`);
  for await (const text of readEvents(response)) {
    if (text === '[DONE]') break;
    const { data } = JSON.parse(text) as { data: JobStep | null };
    if (data !== null) onStep(data);
  }
  return await readJob(api, id);
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.url}: status ${response.status}, ${text}`);
  return JSON.parse(text) as T;
}
