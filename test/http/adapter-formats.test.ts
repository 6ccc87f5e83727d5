// GGUF uploads, exports both ways, and adapters that only a merged model can hold, through the routes.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterFiles, type AdapterFilePair, plainAdapter } from '../support/adapter-files.ts';
import { fixturePath } from '../support/repository.ts';
import { multipart, openHarness, type HttpHarness } from './harness.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function put(name: string, parts: Readonly<Record<string, Uint8Array>>) {
  const form = new FormData();
  for (const [field, bytes] of Object.entries(parts)) form.append(field, new Blob([bytes.slice()]), field);
  const { payload, headers } = await multipart(form);
  return harness.app.inject({ method: 'PUT', url: `/v1/adapters/${name}`, payload, headers });
}

const putPeft = ({ config, tensors }: AdapterFilePair, name: string) =>
  put(name, { 'adapter_config.json': config, 'adapter_model.safetensors': tensors });
const exported = (name: string, format: string) => harness.app.inject({ url: `/v1/adapters/${name}/versions/1/export?format=${format}` });
const ask = (name: string) =>
  harness.app.inject({ method: 'POST', url: `/generate?adapter=${name}`, payload: { inputs: 'x', max_new_tokens: 8 } });

describe('an export', () => {
  it('of PEFT files holds them as they were uploaded', async () => {
    const files = plainAdapter(5, 8);
    await putPeft(files, 'poet');
    const answer = await exported('poet', 'peft');
    expect(answer.headers).toMatchObject({
      'content-type': 'application/x-tar',
      'content-disposition': 'attachment; filename="poet-1.tar"',
    });
    const file = (name: string): Buffer => execFileSync('tar', ['-xO', name], { input: answer.rawPayload });
    expect(Buffer.compare(file('adapter_config.json'), files.config)).toBe(0);
    expect(Buffer.compare(file('adapter_model.safetensors'), files.tensors)).toBe(0);
  });

  it('as GGUF uploads again as the same adapter, and comes back byte for byte', async () => {
    await putPeft(plainAdapter(6, 8), 'first');
    const gguf = (await exported('first', 'gguf')).rawPayload;
    const uploaded = await put('second', { 'my-adapter.gguf': gguf });
    expect(uploaded.json()).toMatchObject({ version: 1, rank: 2, target_modules: ['q_proj'], kind: 'lora', merged_only: false });
    expect(Buffer.compare((await exported('second', 'gguf')).rawPayload, gguf)).toBe(0);
    expect((await ask('second')).json()).toEqual((await ask('first')).json());
    const peft = (await exported('second', 'peft')).rawPayload;
    const config = JSON.parse(execFileSync('tar', ['-xO', 'adapter_config.json'], { input: peft, encoding: 'utf8' })) as unknown;
    expect(config).toMatchObject({ peft_type: 'LORA', r: 2, target_modules: ['model.layers.0.self_attn.q_proj'] });
  });

  it('asks for a known format, version and name', async () => {
    await putPeft(plainAdapter(7, 8), 'known');
    expect((await exported('known', 'pickle')).statusCode).toBe(400);
    expect((await exported('unknown', 'peft')).statusCode).toBe(404);
    expect((await harness.app.inject({ url: '/v1/adapters/known/versions/2/export?format=gguf' })).statusCode).toBe(404);
  });
});

describe('a GGUF upload', () => {
  it('for another base is refused with the tensor that does not fit', async () => {
    const answer = await put('wrong', { 'adapter.gguf': readFileSync(fixturePath('tiny-adapters-gguf/qv-r8.gguf')) });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({
      error: {
        code: 'invalid_adapter',
        message: expect.stringMatching(/tensor "blk.1.attn_q.weight.lora_a" is not of base test-base/) as string,
      },
    });
  });

  it('beside files of PEFT is refused', async () => {
    const answer = await put('both', { 'adapter_config.json': plainAdapter(1, 8).config, 'adapter.gguf': new Uint8Array(8) });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ error: { message: expect.stringMatching(/got a .gguf file beside PEFT's/) as string } });
  });
});

it('an adapter with full weights is stored, says how it is served, and is never half applied', async () => {
  const q = 'base_model.model.model.layers.0.self_attn.q_proj';
  const ones = (shape: readonly number[]) => ({
    shape,
    values: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5),
  });
  const files = adapterFiles(
    { r: 1, target_modules: ['q_proj'], modules_to_save: ['norm'] },
    { [`${q}.lora_A.weight`]: ones([1, 8]), [`${q}.lora_B.weight`]: ones([8, 1]), 'base_model.model.model.norm.weight': ones([8]) },
  );
  const uploaded = await putPeft(files, 'normed');
  expect(uploaded.json()).toMatchObject({
    kind: 'lora',
    merged_only: true,
    notice: expect.stringContaining('served merged only') as string,
    target_modules: ['norm', 'q_proj'],
  });
  const refused = await ask('normed');
  expect([refused.statusCode, JSON.stringify(refused.json())]).toEqual([
    422,
    expect.stringContaining('which only a merged model can hold'),
  ]);
  expect((await exported('normed', 'gguf')).json()).toMatchObject({
    error: { code: 'unsupported_adapter', message: expect.stringContaining('a full weight (tensor') as string },
  });
  expect((await exported('normed', 'peft')).statusCode).toBe(200);
});
