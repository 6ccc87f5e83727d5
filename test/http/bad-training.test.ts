// A hundred inputs that cannot be trained on: rows, files, parameters. Each is refused before anything is queued, with the line or the field.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyHeader, multipart, openHarness, type HttpHarness } from './harness.ts';

let harness: HttpHarness;
let admin: { readonly authorization: string };
let goodFile: string;
let twoRowsFile: string;
let resultFile: string;
beforeAll(async () => {
  harness = await openHarness();
  keyHeader(harness, 'root', 'operator');
  admin = keyHeader(harness, 'acme', 'admin');
  goodFile = (await upload('{"prompt":"a","completion":"b"}\n')).json<{ id: string }>().id;
  twoRowsFile = (await upload(`${GOOD}\n${GOOD}\n`)).json<{ id: string }>().id;
  const made = await create({ model: 'test-base', training_file: goodFile });
  const { id } = made.json<{ id: string }>();
  await harness.app.inject({ url: `/v1/fine_tuning/jobs/${id}/events?stream=true`, headers: admin });
  const job = await harness.app.inject({ url: `/v1/fine_tuning/jobs/${id}`, headers: admin });
  resultFile = job.json<{ result_files: string[] }>().result_files[0] ?? '';
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function send(form: FormData) {
  const { payload, headers } = await multipart(form);
  return await harness.app.inject({ method: 'POST', url: '/v1/files', payload, headers: { ...headers, ...admin } });
}

function formOf(rows: string | Uint8Array<ArrayBuffer>, purpose: string | null = 'fine-tune'): FormData {
  const form = new FormData();
  if (purpose !== null) form.set('purpose', purpose);
  form.set('file', new Blob([rows]), 'rows.jsonl');
  return form;
}

async function upload(rows: string | Uint8Array<ArrayBuffer>) {
  return await send(formOf(rows));
}

async function create(payload: object) {
  return await harness.app.inject({ method: 'POST', url: '/v1/fine_tuning/jobs', payload, headers: admin });
}

interface Refusal {
  readonly message: string;
  readonly param: string | null;
  readonly code: string;
}

const refusalOf = (answer: { json<T>(): T }): Refusal => answer.json<{ error: Refusal }>().error;

const GOOD = '{"text":"good"}';
const chat = (...messages: readonly unknown[]): string => JSON.stringify({ messages });
const user = { role: 'user', content: 'a' };
const assistant = { role: 'assistant', content: 'b' };

/** What stands in line 2, and a word of the refusal. */
const ROWS: readonly (readonly [name: string, line: string | Uint8Array<ArrayBuffer>, words: RegExp])[] = [
  ['no JSON', 'hello', /JSON/],
  ['half an object', '{"text":"a"', /JSON/],
  ['two objects', '{"text":"a"}{"text":"b"}', /JSON/],
  ['a trailing comma', '{"text":"a",}', /JSON/],
  ['single quotes', "{'text':'a'}", /JSON/],
  ['a comment', '{"text":"a"} // b', /JSON/],
  ['NaN', '{"text":NaN}', /JSON/],
  ['a list', '[{"text":"a"}]', /not an object/],
  ['a string', '"text"', /not an object/],
  ['a number', '7', /not an object/],
  ['null', 'null', /not an object/],
  ['an empty object', '{}', /no keys/],
  ['unknown keys', '{"input":"a","output":"b"}', /"input"/],
  ['a key twice', '{"text":"a","text":"b"}', /text/],
  ['a prompt alone', '{"prompt":"a"}', /completion.*missing/],
  ['a completion alone', '{"completion":"a"}', /prompt.*missing/],
  ['a key beside prompt and completion', '{"prompt":"a","completion":"b","id":1}', /"id".*unknown/],
  ['a number as prompt', '{"prompt":1,"completion":"b"}', /"prompt".*got 1/],
  ['a list as completion', '{"prompt":"a","completion":["b"]}', /"completion"/],
  ['a number as text', '{"text":5}', /"text".*got 5/],
  ['an empty text', '{"text":""}', /"text"/],
  ['a text beside messages', '{"text":"a","messages":[]}', /"messages".*unknown/],
  ['messages that are no list', '{"messages":"hi"}', /"messages"/],
  ['no messages', '{"messages":[]}', /0 messages/],
  ['too many messages', chat(...Array.from({ length: 600 }, () => user), assistant), /601 messages/],
  ['no assistant', chat(user), /no assistant/],
  ['a message that is a string', chat('hi'), /messages\[0\]/],
  ['a message without role', chat({ content: 'a' }, assistant), /messages\[0\]\.role.*missing/],
  ['an unknown role', chat(user, { role: 'robot', content: 'b' }), /messages\[1\]\.role.*robot/],
  ['a tool’s role', chat(user, { role: 'tool', content: 'b' }, assistant), /messages\[1\]\.role/],
  ['a message without content', chat(user, { role: 'assistant' }), /messages\[1\]\.content.*missing/],
  ['content that is a number', chat({ role: 'user', content: 3 }, assistant), /messages\[0\]\.content/],
  [
    'content with an image',
    chat({ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }, assistant),
    /messages\[0\]\.content/,
  ],
  ['an empty list of parts', chat({ role: 'user', content: [] }, assistant), /messages\[0\]\.content/],
  ['a weight of 0.5', chat(user, { ...assistant, weight: 0.5 }), /messages\[1\]\.weight.*0\.5/],
  ['a weight on a question', chat({ ...user, weight: 1 }, assistant), /messages\[0\]\.weight/],
  ['no weight that counts', chat(user, { ...assistant, weight: 0 }), /weight 0/],
  ['tool calls', chat(user, { ...assistant, tool_calls: [] }), /tool_calls.*not supported/],
  ['a function call', chat(user, { ...assistant, function_call: {} }), /function_call.*not supported/],
  ['an unknown key in a message', chat({ ...user, colour: 'red' }, assistant), /messages\[0\]\.colour/],
  ['a name that is too long', chat({ ...user, name: 'n'.repeat(80) }, assistant), /messages\[0\]\.name/],
  ['tools beside the messages', '{"messages":[{"role":"assistant","content":"a"}],"tools":[]}', /"tools".*not supported/],
  ['deep nesting', `{"text":${'['.repeat(20)}${']'.repeat(20)}}`, /JSON/],
  ['a lone surrogate', '{"text":"\\ud800"}', /JSON/],
  ['bytes that are no UTF-8', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), /UTF-8/],
];

/** Files as wholes. */
const FILES: readonly (readonly [name: string, form: () => FormData, param: string | null, words: RegExp])[] = [
  ['without a purpose', () => formOf(GOOD, null), 'purpose', /missing/],
  ['with another purpose', () => formOf(GOOD, 'assistants'), 'purpose', /assistants/],
  ['with the purpose of results', () => formOf(GOOD, 'fine-tune-results'), 'purpose', /fine-tune/],
  ['without a file', () => withField(new FormData(), 'purpose', 'fine-tune'), 'file', /missing/],
  ['that is empty', () => formOf(''), 'file', /empty/],
  ['that is too large', () => formOf(`${'x'.repeat(70_000)}\n`), 'file', /larger than 64KiB/],
  ['under another field', () => withFile(withField(new FormData(), 'purpose', 'fine-tune'), 'upload'), 'upload', /upload/],
  ['twice', () => withFile(withFile(withField(new FormData(), 'purpose', 'fine-tune'), 'file'), 'file'), 'file', /file/],
  ['with an unknown field', () => withField(formOf(GOOD), 'expires_after', '1'), 'expires_after', /expires_after/],
  ['with two purposes', () => withField(formOf(GOOD), 'purpose', 'fine-tune'), 'purpose', /purpose/],
];

function withField(form: FormData, name: string, value: string): FormData {
  form.append(name, value);
  return form;
}

function withFile(form: FormData, name: string): FormData {
  form.append(name, new Blob([GOOD]), 'rows.jsonl');
  return form;
}

const AT = 'method.supervised.hyperparameters';
const hyper = (fields: object): object => ({ method: { type: 'supervised', supervised: { hyperparameters: fields } } });
const lora = (fields: object): object => hyper({ lora: fields });

/** Fields over a good request, the field that the refusal names, and a word of it. */
const PARAMETERS: readonly (readonly [name: string, fields: object, param: string, words?: RegExp])[] = [
  ['a model that is a number', { model: 5 }, 'model'],
  ['an empty model', { model: '' }, 'model'],
  ['an unknown model', { model: 'nobody' }, 'model', /no such adapter/],
  ['a malformed model', { model: 'a/b/c' }, 'model', /no such adapter/],
  ['a file that is a number', { training_file: 5 }, 'training_file'],
  ['an unknown file', { training_file: 'file-nobody' }, 'training_file', /no such file/],
  ['an unknown validation file', { validation_file: 'file-nobody' }, 'validation_file', /no such file/],
  ['a suffix with capitals', { suffix: 'Poet' }, 'suffix', /lower-case/],
  ['a suffix with a space', { suffix: 'my poet' }, 'suffix', /lower-case/],
  ['a suffix like the base', { suffix: 'test-base' }, 'suffix', /base model/],
  ['a suffix that is too long', { suffix: 'x'.repeat(65) }, 'suffix'],
  ['a suffix that is a path', { suffix: '../x' }, 'suffix', /lower-case/],
  ['a negative seed', { seed: -1 }, 'seed', /at least 0/],
  ['a seed with a fraction', { seed: 1.5 }, 'seed', /whole number/],
  ['a seed that is too large', { seed: 2 ** 32 }, 'seed'],
  ['metadata that is a list', { metadata: ['a'] }, 'metadata'],
  ['metadata with a number', { metadata: { a: 1 } }, 'metadata.a'],
  ['too much metadata', { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v'])) }, 'metadata'],
  ['integrations', { integrations: [{ type: 'wandb', wandb: { project: 'x' } }] }, 'integrations'],
  ['an unknown field', { learning_rate: 0.1 }, 'learning_rate', /unsupported/],
  ['another method', { method: { type: 'dpo' } }, 'method.type', /"dpo"/],
  ['a method without type', { method: { supervised: {} } }, 'method.type', /missing/],
  ['an unknown part of the method', { method: { type: 'supervised', dpo: {} } }, 'method.dpo', /unsupported/],
  ['hyperparameters in both places', { ...hyper({}), hyperparameters: { n_epochs: 1 } }, 'hyperparameters', /one place/],
  ['an unknown hyperparameter', hyper({ optimizer: 'sgd' }), `${AT}.optimizer`, /unsupported/],
  ['no epochs', hyper({ n_epochs: 0 }), `${AT}.n_epochs`, /1 to 1000/],
  ['half an epoch', hyper({ n_epochs: 0.5 }), `${AT}.n_epochs`],
  ['another word for epochs', hyper({ n_epochs: 'many' }), `${AT}.n_epochs`],
  ['a batch of 0', hyper({ batch_size: 0 }), `${AT}.batch_size`],
  ['a batch that is too large', hyper({ batch_size: 1000 }), `${AT}.batch_size`, /256/],
  ['a negative multiplier', hyper({ learning_rate_multiplier: -1 }), `${AT}.learning_rate_multiplier`],
  ['a learning rate of 0', hyper({ learning_rate: 0 }), `${AT}.learning_rate`, /more than 0/],
  ['a learning rate above 1', hyper({ learning_rate: 2 }), `${AT}.learning_rate`],
  ['a learning rate as text', hyper({ learning_rate: '0.1' }), `${AT}.learning_rate`],
  ['no steps', hyper({ max_steps: 0 }), `${AT}.max_steps`],
  ['more steps than the server allows', hyper({ max_steps: 1001 }), `${AT}.max_steps`, /trainingMaxSteps/],
  [
    'more epochs than the server allows steps',
    { ...hyper({ batch_size: 1, n_epochs: 1000 }), training_file: 'two rows' },
    `${AT}.n_epochs`,
    /2 rows make 2000 steps/,
  ],
  ['no accumulation', hyper({ gradient_accumulation: 0 }), `${AT}.gradient_accumulation`],
  ['an unknown schedule', hyper({ lr_scheduler: 'step' }), `${AT}.lr_scheduler`, /"cosine"/],
  ['a warm-up above 1', hyper({ warmup_ratio: 1.1 }), `${AT}.warmup_ratio`],
  ['a negative weight decay', hyper({ weight_decay: -0.1 }), `${AT}.weight_decay`],
  ['a negative norm', hyper({ max_grad_norm: -1 }), `${AT}.max_grad_norm`],
  ['rows of one token', hyper({ max_seq_length: 1 }), `${AT}.max_seq_length`],
  ['rows beyond the context', hyper({ max_seq_length: 2048 }), `${AT}.max_seq_length`, /1024/],
  ['shuffle as text', hyper({ shuffle: 'yes' }), `${AT}.shuffle`],
  ['an unknown precision', hyper({ base_precision: 'int4' }), `${AT}.base_precision`],
  ['patience without a validation file', hyper({ early_stopping_patience: 2 }), `${AT}.early_stopping_patience`, /validation_file/],
  ['the best step without a validation file', hyper({ publish: 'best' }), `${AT}.publish`, /validation_file/],
  ['an unknown step to publish', hyper({ publish: 'first' }), `${AT}.publish`],
  ['compression of an adapter that needs none', hyper({ recompress_rank: 4 }), `${AT}.recompress_rank`, /pissa or lora_ga/],
  ['compression to more than there is', hyper({ recompress_rank: 9, lora: { r: 2, init: 'pissa' } }), `${AT}.recompress_rank`, /4/],
  ['lora that is a number', hyper({ lora: 8 }), `${AT}.lora`],
  ['an unknown field of lora', lora({ bias: 'all' }), `${AT}.lora.bias`, /unsupported/],
  ['a rank of 0', lora({ r: 0 }), `${AT}.lora.r`],
  ['a rank that the server does not take', lora({ r: 65 }), `${AT}.lora.r`, /adapterMaxRank/],
  ['a rank that is taken, but published twice as large', lora({ r: 40, init: 'lora_ga' }), `${AT}.lora.r`],
  ['an alpha of 0', lora({ alpha: 0 }), `${AT}.lora.alpha`],
  ['no target', lora({ target_modules: [] }), `${AT}.lora.target_modules`],
  ['an unknown target', lora({ target_modules: ['q_proj', 'qkv'] }), `${AT}.lora.target_modules`, /"qkv".*q_proj/],
  ['a target that is an expression', lora({ target_modules: '.*proj' }), `${AT}.lora.target_modules`],
  ['a target twice', lora({ target_modules: ['q_proj', 'q_proj'] }), `${AT}.lora.target_modules`],
  ['all linears and one more', lora({ target_modules: ['all-linear', 'q_proj'] }), `${AT}.lora.target_modules`, /alone/],
  ['an unknown init', lora({ init: 'olora' }), `${AT}.lora.init`, /"pissa"/],
  ['DoRA over an init that changes the base', lora({ use_dora: true, init: 'pissa', r: 2 }), `${AT}.lora.use_dora`, /base/],
  ['dropout of token ids', lora({ dropout: 0.1, target_modules: ['embed_tokens'] }), `${AT}.lora.dropout`, /embed_tokens/],
  ['LoRA-GA of the head', lora({ init: 'lora_ga', r: 2, target_modules: ['lm_head'] }), `${AT}.lora.init`, /lm_head/],
  ['more PiSSA than a matrix has directions', lora({ init: 'pissa', r: 9, target_modules: ['q_proj'] }), `${AT}.lora.r`, /side of 8/],
  ['a ratio of 0', lora({ loraplus_lr_ratio: 0 }), `${AT}.lora.loraplus_lr_ratio`],
  ['a dropout of 1', lora({ dropout: 1 }), `${AT}.lora.dropout`],
  [
    'a rank pattern for nothing',
    lora({ rank_pattern: { 'layers.9.self_attn.q_proj': 2 } }),
    `${AT}.lora.rank_pattern.layers.9.self_attn.q_proj`,
  ],
  ['a rank pattern with an expression', lora({ rank_pattern: { '.*q_proj$': 2 } }), `${AT}.lora.rank_pattern..*q_proj$`],
  ['a rank pattern of 0', lora({ rank_pattern: { q_proj: 0 } }), `${AT}.lora.rank_pattern.q_proj`],
];

describe('bad inputs of training', () => {
  it('are a hundred and more', () => {
    expect(ROWS.length + FILES.length + PARAMETERS.length).toBeGreaterThan(100);
  });

  it.each(ROWS)('a row with %s', async (_name, line, words) => {
    const bytes = Buffer.concat([Buffer.from(`${GOOD}\n`), Buffer.from(line), Buffer.from(`\n${GOOD}\n`)]);
    const file = (await upload(new Uint8Array(bytes))).json<{ id: string }>().id;
    const answer = await create({ model: 'test-base', training_file: file });
    const { message, param, code } = refusalOf(answer);
    expect([answer.statusCode, code, param]).toEqual([400, 'invalid_request', 'training_file']);
    expect(message).toMatch(/^"training_file": line 2: /);
    expect(message).toMatch(words);
    const asValidation = refusalOf(await create({ model: 'test-base', training_file: goodFile, validation_file: file }));
    expect([asValidation.param, asValidation.message]).toEqual(['validation_file', message.replace('training_file', 'validation_file')]);
  });

  it.each(FILES)('a file %s', async (_name, form, param, words) => {
    const before = (await harness.app.inject({ url: '/v1/files', headers: admin })).payload;
    const answer = await send(form());
    const refusal = refusalOf(answer);
    expect([answer.statusCode >= 400 && answer.statusCode < 500, refusal.param]).toEqual([true, param]);
    expect(refusal.message).toMatch(words);
    expect((await harness.app.inject({ url: '/v1/files', headers: admin })).payload, 'nothing is stored').toBe(before);
  });

  it.each(PARAMETERS.map(([name, fields, param, words]) => ({ name, fields, param, words: words ?? /./ })))(
    'a request with $name',
    async ({ fields, param, words }) => {
      const wanted = { model: 'test-base', training_file: goodFile, ...fields };
      const training_file = wanted.training_file === 'two rows' ? twoRowsFile : wanted.training_file;
      const answer = await create({ ...wanted, training_file });
      const refusal = refusalOf(answer);
      expect(refusal).toMatchObject({ param });
      expect(Math.floor(answer.statusCode / 100)).toBe(4);
      expect(refusal.message).toMatch(words);
    },
  );

  it('are told apart by line, five at once, and counted', async () => {
    const file = (await upload(['{}', ...Array.from({ length: 7 }, () => 'x')].join('\n'))).json<{ id: string }>().id;
    const { message } = refusalOf(await create({ model: 'test-base', training_file: file }));
    expect(message.match(/line \d+/g)).toEqual(['line 1', 'line 2', 'line 3', 'line 4', 'line 5']);
    expect(message).toMatch(/and 3 more bad lines$/);
  });

  it('include files that hold too much, and results that are no rows', async () => {
    const many = (await upload(`${GOOD}\n`.repeat(51))).json<{ id: string }>().id;
    const long = (await upload(`{"text":"${'x'.repeat(600)}"}\n`.repeat(10))).json<{ id: string }>().id;
    const blank = (await upload('\n\n')).json<{ id: string }>().id;
    const messages = await Promise.all(
      [many, long, blank].map(async (file) => refusalOf(await create({ model: 'test-base', training_file: file }))),
    );
    expect(messages.map(({ message }) => /line 51.*50 rows|5000 tokens|without rows/.test(message))).toEqual([true, true, true]);
    expect(refusalOf(await create({ model: 'test-base', training_file: resultFile }))).toMatchObject({ param: 'training_file' });
    expect(resultFile).toMatch(/^file-/);
  });

  it('leave nothing in the queue', async () => {
    const jobs = (await harness.app.inject({ url: '/v1/fine_tuning/jobs', headers: admin })).json<{ data: unknown[] }>();
    expect(jobs.data, 'but the one that made a result').toHaveLength(1);
  });
});
