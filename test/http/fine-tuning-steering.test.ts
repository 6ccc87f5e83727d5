// Jobs that are paused, resumed, cancelled and bounded through the official OpenAI client, over a trainer that steps when it is told.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listOf, openSetting, type Setting, untilEnded, upload } from './fine-tuning-setting.ts';
import { aString } from './matchers.ts';

describe('steering a job through the OpenAI client', () => {
  let setting: Setting;
  beforeAll(async () => {
    setting = await openSetting(false);
  });
  afterAll(async () => {
    await setting.harness[Symbol.asyncDispose]();
  });

  /** Lets what follows an answer of the server come to rest: the trainer has the order, or has ended. */
  async function settled(isSettled: () => boolean): Promise<void> {
    await expect.poll(isSettled).toBe(true);
  }

  it('pauses after the present step, resumes from there, and ends as an unbroken job', async () => {
    const { client, trainer } = setting;
    const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file: await upload(client), seed: 1 });
    await settled(() => trainer.work !== null);
    trainer.tick();
    expect((await client.fineTuning.jobs.pause(id)).status).toBe('running');
    trainer.tick();
    expect((await client.fineTuning.jobs.retrieve(id)).status).toBe('paused');
    await settled(() => !trainer.isRunning);
    expect((await client.fineTuning.jobs.resume(id)).status).toBe('queued');
    await settled(() => trainer.work !== null);
    expect(trainer.work?.step).toBe(1);
    while (trainer.tick());
    await untilEnded(setting, id);
    const steps = (await listOf(client.fineTuning.jobs.listEvents(id))).filter(({ type }) => type === 'metrics');
    expect(steps).toHaveLength(4);
    expect((await client.fineTuning.jobs.retrieve(id)).status).toBe('succeeded');
  });

  it('estimates the end once two steps were seen', async () => {
    const { client, trainer } = setting;
    const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file: await upload(client) });
    await settled(() => trainer.work !== null);
    trainer.tick();
    expect((await client.fineTuning.jobs.retrieve(id)).estimated_finish).toBeNull();
    trainer.tick();
    expect((await client.fineTuning.jobs.retrieve(id)).estimated_finish).toBeGreaterThanOrEqual(Math.floor(Date.now() / 1000));
    while (trainer.tick());
    await untilEnded(setting, id);
    expect((await client.fineTuning.jobs.retrieve(id)).estimated_finish).toBeNull();
  });

  it('cancels a running and a queued job at once, ends the stream, and goes on with the next', async () => {
    const { client, trainer } = setting;
    const training_file = await upload(client);
    const jobs = [];
    for (const seed of [1, 2, 3]) jobs.push((await client.fineTuning.jobs.create({ model: 'test-base', training_file, seed })).id);
    const [first = '', second = '', third = ''] = jobs;
    await settled(() => trainer.work?.order.jobId === first);
    const watching = untilEnded(setting, first);
    expect((await client.fineTuning.jobs.cancel(first)).status).toBe('cancelled');
    expect((await watching).at(-1)).toBe('[DONE]');
    expect((await client.fineTuning.jobs.cancel(second)).status).toBe('cancelled');
    trainer.tick();
    await settled(() => trainer.work?.order.jobId === third);
    while (trainer.tick());
    await untilEnded(setting, third);
    expect((await client.fineTuning.jobs.retrieve(third)).status).toBe('succeeded');
    expect((await client.fineTuning.jobs.retrieve(first)).status).toBe('cancelled');
    for (const verb of ['cancel', 'pause', 'resume'] as const) {
      await expect(client.fineTuning.jobs[verb](first)).rejects.toMatchObject({ constructor: OpenAI.ConflictError, message: aString });
    }
  });

  it('keeps the bytes of a deleted file for the job that uses it, and no longer', async () => {
    const { client, trainer, harness } = setting;
    const rows = '{"text":"kept for the job"}\n';
    const training_file = await upload(client, rows);
    const { id } = await client.fineTuning.jobs.create({ model: 'test-base', training_file });
    await settled(() => trainer.work !== null);
    await client.files.delete(training_file);
    await harness.adapters.settled();
    const { keeper } = harness.adapters;
    const digest = (trainer.work?.order.trainingFile.split('/').at(-1) ?? '') as Parameters<typeof keeper.open>[0];
    expect(keeper.open(digest).bytes).toBe(Buffer.byteLength(rows));
    await client.fineTuning.jobs.cancel(id);
    trainer.tick();
    await settled(() => !trainer.isRunning);
    await harness.adapters.settled();
    expect(() => keeper.open(digest)).toThrow(/ENOENT/);
  });

  it('refuses more open jobs of a tenant than the setting allows', async () => {
    const { client } = setting;
    const training_file = await upload(client);
    const create = () => client.fineTuning.jobs.create({ model: 'test-base', training_file });
    const made = [];
    for (let count = 0; count < 8; count += 1) made.push((await create()).id);
    await expect(create()).rejects.toMatchObject({ constructor: OpenAI.RateLimitError });
    for (const id of made) await client.fineTuning.jobs.cancel(id);
    expect((await create()).status).toBe('queued');
  });
});
