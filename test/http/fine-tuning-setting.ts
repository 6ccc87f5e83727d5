// A server over a simulated trainer with an OpenAI client at it, for tests of files and training jobs.
import OpenAI, { toFile } from 'openai';
import { SimulatedTrainer } from '../support/simulated-trainer.ts';
import { openHarness, trainedAdapter, type HttpHarness } from './harness.ts';
import { readSse } from './sse-events.ts';

export const ROWS = Array.from({ length: 6 }, (_, index) => JSON.stringify({ prompt: `say ${index}:`, completion: ` ${index}` })).join(
  '\n',
);

export async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

export interface Setting {
  readonly harness: HttpHarness;
  readonly client: OpenAI;
  readonly trainer: SimulatedTrainer;
}

export async function openSetting(runs: boolean): Promise<Setting> {
  const trainer = new SimulatedTrainer({ adapter: trainedAdapter, runs });
  const harness = await openHarness({ trainer });
  const baseURL = `${await harness.app.listen({ host: '127.0.0.1', port: 0 })}/v1`;
  return { harness, trainer, client: new OpenAI({ apiKey: 'unused', baseURL, maxRetries: 0 }) };
}

export async function upload(client: OpenAI, rows = ROWS): Promise<string> {
  return (await client.files.create({ file: await toFile(Buffer.from(rows), 'rows.jsonl'), purpose: 'fine-tune' })).id;
}

/** Reads all events as they come, so that it returns when the job has ended. */
export async function untilEnded({ harness }: Setting, id: string): Promise<string[]> {
  return readSse((await harness.app.inject(`/v1/fine_tuning/jobs/${id}/events?stream=true`)).payload);
}
