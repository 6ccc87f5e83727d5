// Files and training jobs through the official OpenAI client, over a simulated trainer: what its users do works unchanged.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricsOf } from '../support/simulated-trainer.ts';
import { listOf, openSetting, ROWS, type Setting, untilEnded, upload } from './fine-tuning-setting.ts';
import { trainedAdapter } from './harness.ts';
import { aNumber } from './matchers.ts';
import { readSse } from './sse-events.ts';

describe('files through the OpenAI client', () => {
  let setting: Setting;
  beforeAll(async () => {
    setting = await openSetting(true);
  });
  afterAll(async () => {
    await setting.harness[Symbol.asyncDispose]();
  });

  it('are uploaded, read, listed in pages and deleted', async () => {
    const { client } = setting;
    const ids = [await upload(client), await upload(client), await upload(client)];
    expect(await client.files.retrieve(ids[0] ?? '')).toEqual({
      id: ids[0],
      object: 'file',
      bytes: Buffer.byteLength(ROWS),
      created_at: aNumber,
      filename: 'rows.jsonl',
      purpose: 'fine-tune',
      status: 'processed',
    });
    expect(await (await client.files.content(ids[1] ?? '')).text()).toBe(ROWS);
    expect((await listOf(client.files.list({ limit: 2 }))).map(({ id }) => id)).toEqual(ids.toReversed());
    expect(await client.files.delete(ids[0] ?? '')).toEqual({ id: ids[0], object: 'file', deleted: true });
    await expect(client.files.retrieve(ids[0] ?? '')).rejects.toMatchObject({ constructor: OpenAI.NotFoundError, code: 'not_found' });
    expect(await (await client.files.content(ids[2] ?? '')).text(), 'the same bytes under another id').toBe(ROWS);
  });

  it('leave nothing on the disk once they are deleted', async () => {
    const { client, harness } = setting;
    const before = harness.adapters.keeper;
    const id = await upload(client, '{"text":"only here"}\n');
    const { digest, release } = await before.put(Buffer.from('{"text":"only here"}\n'));
    release();
    await harness.adapters.settled();
    expect(before.open(digest).bytes).toBe(21);
    await client.files.delete(id);
    await harness.adapters.settled();
    expect(() => before.open(digest)).toThrow(/ENOENT/);
  });
});

describe('a training job through the OpenAI client', () => {
  let setting: Setting;
  beforeAll(async () => {
    setting = await openSetting(true);
  });
  afterAll(async () => {
    await setting.harness[Symbol.asyncDispose]();
  });

  it('is made, runs, and publishes an adapter under its suffix that answers at once', async () => {
    const { client, harness } = setting;
    const training_file = await upload(client);
    const validation_file = await upload(client);
    const made = await client.fineTuning.jobs.create({
      model: 'test-base',
      training_file,
      validation_file,
      suffix: 'poet',
      seed: 5,
      metadata: { team: 'verse' },
      method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 'auto', batch_size: 2 } } },
    });
    expect(made).toMatchObject({
      object: 'fine_tuning.job',
      model: 'test-base',
      status: 'queued',
      fine_tuned_model: null,
      finished_at: null,
      organization_id: 'default',
      training_file,
      validation_file,
      result_files: [],
      trained_tokens: null,
      seed: 5,
      error: null,
      metadata: { team: 'verse' },
      hyperparameters: { batch_size: 2, learning_rate_multiplier: 1 },
    });
    const stream = await untilEnded(setting, made.id);
    expect(stream.at(-1)).toBe('[DONE]');
    const job = await client.fineTuning.jobs.retrieve(made.id);
    expect(job).toMatchObject({
      status: 'succeeded',
      fine_tuned_model: 'poet',
      trained_tokens: 40,
      finished_at: aNumber,
      adapter_version: 1,
    });
    const answer = await client.completions.create({ model: 'poet', prompt: 'say:hi\n', temperature: 0, max_tokens: 3 }).withResponse();
    expect(answer.response.headers.get('x-adapter-id')).toBe('poet@1');
    const saved = await harness.app.inject('/v1/adapters/poet/versions/1/files/adapter_model.safetensors');
    expect(Buffer.compare(saved.rawPayload, trainedAdapter(5).tensors)).toBe(0);
  });

  it('has one metrics event a step, newest first in pages and oldest first in a stream', async () => {
    const { client } = setting;
    const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file: await upload(client), seed: 3 });
    const streamed = (await untilEnded(setting, id))
      .slice(0, -1)
      .map((text) => JSON.parse(text) as { id: string; type: string; data: unknown });
    const paged = await listOf(client.fineTuning.jobs.listEvents(id, { limit: 3 }));
    expect(paged.toReversed()).toEqual(streamed);
    const metrics = paged.filter(({ type }) => type === 'metrics').toReversed();
    const hyperparameters = { seed: 3, learningRate: 2e-3 } as Parameters<typeof metricsOf>[0]['hyperparameters'];
    expect(metrics.map(({ data }) => data)).toEqual(
      [1, 2, 3, 4].map((step) => {
        const { trainLoss, learningRate, gradNorm, tokensPerSecond } = metricsOf({ hyperparameters }, step);
        return { step, train_loss: trainLoss, learning_rate: learningRate, grad_norm: gradNorm, tokens_per_second: tokensPerSecond };
      }),
    );
    const later = await setting.harness.app.inject(`/v1/fine_tuning/jobs/${id}/events?stream=true&after=${streamed.at(-2)?.id}`);
    expect(readSse(later.payload)).toEqual([JSON.stringify(streamed.at(-1)), '[DONE]']);
    expect(later.payload).toContain(`id: ${streamed.at(-1)?.id}\n`);
  });

  it('has checkpoints, and its loss curve as JSON and as a picture', async () => {
    const { client } = setting;
    const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file: await upload(client), suffix: 'curve' });
    await untilEnded(setting, id);
    const checkpoints = await listOf(client.fineTuning.jobs.checkpoints.list(id, { limit: 1 }));
    expect(checkpoints.map(({ step_number: step, metrics }) => [step, metrics.train_loss])).toEqual([
      [4, aNumber],
      [2, aNumber],
    ]);
    const { result_files: files } = await client.fineTuning.jobs.retrieve(id);
    const [json, svg] = await Promise.all(files.map((file) => client.files.content(file)));
    const curve = (await json?.json()) as { job: string; steps: { step: number }[] };
    expect([curve.job, curve.steps.map(({ step }) => step)]).toEqual([id, [1, 2, 3, 4]]);
    expect(svg?.headers.get('content-type')).toBe('image/svg+xml');
    expect(await svg?.text()).toMatch(/^<svg [^]*curve: loss[^]*<\/svg>\n$/);
    expect(await client.files.retrieve(files[0] ?? '')).toMatchObject({ purpose: 'fine-tune-results' });
    await expect(client.fineTuning.jobs.create({ model: 'test-base', training_file: files[0] ?? '' })).rejects.toMatchObject({
      status: 400,
      param: 'training_file',
    });
  });

  it('gets a name from its id when it has no suffix, and the legacy place of hyperparameters counts too', async () => {
    const { client } = setting;
    // Older clients send it; the types of this one call it deprecated.
    const legacy = { hyperparameters: { n_epochs: 2 } };
    const made = await client.fineTuning.jobs.create({ model: 'test-base', training_file: await upload(client), ...legacy });
    await untilEnded(setting, made.id);
    const job = await client.fineTuning.jobs.retrieve(made.id);
    expect(job.fine_tuned_model).toBe(made.id.replace('ftjob-', 'ft-'));
    expect(job.hyperparameters.n_epochs).toBe(2);
  });

  it('makes no second version of the same bytes, and a new one of others', async () => {
    const { client } = setting;
    const training_file = await upload(client);
    const versions: unknown[] = [];
    for (const seed of [8, 8, 9]) {
      const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file, suffix: 'again', seed });
      await untilEnded(setting, id);
      versions.push(((await client.fineTuning.jobs.retrieve(id)) as unknown as { adapter_version: number }).adapter_version);
    }
    expect(versions).toEqual([1, 1, 2]);
  });

  it('is listed newest first, in pages', async () => {
    const all = await listOf(setting.client.fineTuning.jobs.list());
    const paged = await listOf(setting.client.fineTuning.jobs.list({ limit: 2 }));
    expect(paged.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
    expect(all.length).toBeGreaterThan(4);
  });

  it('continues from an adapter with that adapter’s shape', async () => {
    const { client, harness, trainer } = setting;
    await harness.publish('default', 'begun', 1);
    const training_file = await upload(client);
    const made = await client.fineTuning.jobs.create({ model: 'begun', training_file, suffix: 'further' });
    await untilEnded(setting, made.id);
    const order = trainer.orders.at(-1);
    expect(order?.hyperparameters.lora).toMatchObject({ r: 2, alpha: 4, targetModules: ['q_proj'], useDora: false });
    expect(order?.initialAdapter).toMatch(/initial$/);
    const other = client.fineTuning.jobs.create({
      model: 'begun',
      training_file,
      method: { type: 'supervised', supervised: { hyperparameters: { lora: { r: 4 } } as object } },
    });
    await expect(other).rejects.toMatchObject({ status: 400, param: 'method.supervised.hyperparameters.lora.r' });
  });
});
