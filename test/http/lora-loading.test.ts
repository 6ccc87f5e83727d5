// vLLM's load_lora_adapter and unload_lora_adapter: its bodies, statuses and words.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainAdapter } from '../support/adapter-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { keyHeader, openHarness, type HttpHarness } from './harness.ts';

const importFolder = temporaryFolder();
let harness: HttpHarness;
beforeAll(async () => {
  mkdirSync(join(importFolder, 'good'));
  mkdirSync(join(importFolder, 'bad'));
  const { config, tensors } = plainAdapter(1, 8);
  writeFileSync(join(importFolder, 'good', 'adapter_config.json'), config);
  writeFileSync(join(importFolder, 'good', 'adapter_model.safetensors'), tensors);
  writeFileSync(join(importFolder, 'bad', 'adapter_config.json'), config);
  writeFileSync(join(importFolder, 'bad', 'adapter_model.safetensors'), 'no safetensors');
  harness = await openHarness({ importFolder });
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

const post = (url: string, payload: object, headers: Readonly<Record<string, string>> = {}) =>
  harness.app.inject({ method: 'POST', url, payload, headers });
const load = (payload: object) => post('/v1/load_lora_adapter', payload);
const unload = (payload: object) => post('/v1/unload_lora_adapter', payload);
const asks = (model: string) => post('/v1/completions', { model, prompt: 'x', max_tokens: 2 });

/** Status and message of a refusal. */
async function refused(answer: ReturnType<typeof load>): Promise<readonly [number, string]> {
  const { statusCode, json } = await answer;
  return [statusCode, json<{ error: { message: string } }>().error.message];
}

describe("vLLM's routes", () => {
  it('load from the import folder, serve at once, unload, and load again', async () => {
    const loaded = await load({ lora_name: 'sql', lora_path: 'good' });
    expect([loaded.statusCode, loaded.payload]).toEqual([200, "Success: LoRA adapter 'sql' added successfully."]);
    expect(loaded.headers['content-type']).toMatch(/^text\/plain/);
    expect((await asks('sql')).statusCode).toBe(200);
    const unloaded = await unload({ lora_name: 'sql', lora_int_id: 1 });
    expect([unloaded.statusCode, unloaded.payload]).toEqual([200, "Success: LoRA adapter 'sql' removed successfully."]);
    expect((await asks('sql')).statusCode).toBe(404);
    expect((await load({ lora_name: 'sql', lora_path: 'sql@1', load_inplace: false })).statusCode).toBe(200);
    expect((await asks('sql')).headers['x-adapter-id']).toBe('sql@1');
  });

  it('load what a reference names', async () => {
    await harness.publish('default', 'source', 2);
    expect((await load({ lora_name: 'copy', lora_path: 'source@1' })).statusCode).toBe(200);
    const [source, copy] = [await asks('source'), await asks('copy')];
    expect(copy.headers['x-adapter-digest']).toBe(source.headers['x-adapter-digest']);
  });

  it('take a name that is loaded only in place', async () => {
    await harness.publish('default', 'taken', 3);
    const message =
      "The lora adapter 'taken' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.";
    expect(await refused(load({ lora_name: 'taken', lora_path: 'good' }))).toEqual([400, message]);
    expect((await load({ lora_name: 'taken', lora_path: 'good', load_inplace: true })).statusCode).toBe(200);
    expect((await asks('taken')).headers['x-adapter-id']).toBe('taken@2');
  });

  it('answer with the status and the words of vLLM when there is nothing to do', async () => {
    expect(await refused(load({ lora_name: 'x', lora_path: 'missing' }))).toEqual([404, "No adapter found for 'missing'"]);
    expect(await refused(load({ lora_name: 'x' }))).toEqual([400, "Both 'lora_name' and 'lora_path' must be provided."]);
    expect(await refused(load({ lora_name: '', lora_path: 'good' }))).toEqual([400, "Both 'lora_name' and 'lora_path' must be provided."]);
    expect(await refused(unload({}))).toEqual([400, "'lora_name' needs to be provided to unload a LoRA adapter."]);
    for (const name of ['missing', 'No Name']) {
      expect(await refused(unload({ lora_name: name }))).toEqual([404, `The lora adapter '${name}' cannot be found.`]);
    }
  });

  it('refuse what cannot be served with 400, and what leads out of the folder', async () => {
    const [status, message] = await refused(load({ lora_name: 'bad', lora_path: 'bad' }));
    expect([status, message]).toEqual([400, expect.stringContaining('safetensors')]);
    expect((await refused(load({ lora_name: 'x', lora_path: '../secret' })))[0]).toBe(400);
    expect((await refused(load({ lora_name: 'Not A Name', lora_path: 'good' })))[0]).toBe(400);
    expect((await refused(load({ lora_name: 'test-base', lora_path: 'good' })))[0]).toBe(400);
    expect((await refused(load({ lora_name: 'x', lora_path: 'good', lora_scale: 2 })))[0]).toBe(400);
  });

  it('show nothing of another tenant, and leave its adapters alone', async () => {
    await using other = await openHarness();
    await other.publish('acme', 'secret', 1);
    // The first key is an operator's.
    keyHeader(other, 'root', 'operator');
    const headers = keyHeader(other, 'globex', 'admin');
    const call = (url: string, payload: object) => other.app.inject({ method: 'POST', url, payload, headers });
    const answers = [
      await call('/v1/load_lora_adapter', { lora_name: 'mine', lora_path: 'secret' }),
      await call('/v1/load_lora_adapter', { lora_name: 'mine', lora_path: 'acme/secret' }),
      await call('/v1/unload_lora_adapter', { lora_name: 'secret' }),
    ];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([404, 404, 404]);
    const missing = await call('/v1/unload_lora_adapter', { lora_name: 'absent' });
    expect(answers[2]?.payload).toBe(missing.payload.replace('absent', 'secret'));
    // The name is free for a tenant that does not know of the other.
    await other.publish('globex', 'own', 2);
    expect((await call('/v1/load_lora_adapter', { lora_name: 'secret', lora_path: 'own' })).statusCode).toBe(200);
    const acme = keyHeader(other, 'acme', 'inference');
    const models = await other.app.inject({ url: '/v1/adapters/secret', headers: acme });
    expect(models.json()).toMatchObject({ name: 'secret', version: 1, version_count: 1 });
  });
});
