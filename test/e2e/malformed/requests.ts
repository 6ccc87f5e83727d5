// Requests with one thing wrong, the status that the contract gives for it, and a word that the message must hold. Data only.

export interface MalformedRequest {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly status: number;
  /** What the message must name. */
  readonly word: string;
}

const JSON_TYPE = { 'content-type': 'application/json' };
/** Context of the tiny model. */
const CONTEXT = 256;
const VOCABULARY = 384;
/** Never the name: missing and foreign must look the same. */
const NO_ADAPTER = 'no such adapter';

type Row = readonly [name: string, fields: Readonly<Record<string, unknown>>, word: string, status?: number];

function posts(path: string, standard: Readonly<Record<string, unknown>>, status: number, rows: readonly Row[]): MalformedRequest[] {
  return rows.map(([name, fields, word, otherStatus]) => ({
    name,
    method: 'POST',
    path,
    headers: JSON_TYPE,
    body: JSON.stringify({ ...standard, ...fields }),
    status: otherStatus ?? status,
    word,
  }));
}

function raw(path: string, status: number, rows: readonly (readonly [name: string, body: string, word: string])[]): MalformedRequest[] {
  return rows.map(([name, body, word]) => ({ name, method: 'POST', path, headers: JSON_TYPE, body, status, word }));
}

const COMPLETIONS: readonly Row[] = [
  ['no prompt', { prompt: undefined }, 'prompt'],
  ['a prompt that is a number', { prompt: 5 }, 'prompt'],
  ['a prompt that is an object', { prompt: { text: 'a' } }, 'prompt'],
  ['an empty prompt', { prompt: '' }, 'prompt'],
  ['an empty list of prompts', { prompt: [] }, 'prompt'],
  ['texts and ids mixed', { prompt: ['a', 1] }, 'prompt'],
  ['a token id outside the vocabulary', { prompt: [VOCABULARY] }, String(VOCABULARY)],
  ['a negative token id', { prompt: [-1] }, 'prompt'],
  ['a token id with a fraction', { prompt: [1.5] }, 'prompt'],
  ['too many prompts', { prompt: Array.from({ length: 65 }, () => 'a') }, '64'],
  ['too many rows', { prompt: Array.from({ length: 64 }, () => 'a'), n: 16 }, 'rows'],
  ['a prompt over the context', { prompt: Array.from({ length: CONTEXT + 1 }, () => 5) }, String(CONTEXT)],
  ['a text far over the context', { prompt: 'a'.repeat(100_000) }, String(CONTEXT)],
  ['prompt and new tokens over the context', { max_tokens: CONTEXT }, String(CONTEXT)],
  ['a negative number of tokens', { max_tokens: -1 }, 'max_tokens'],
  ['half a token', { max_tokens: 0.5 }, 'max_tokens'],
  ['a number of tokens as text', { max_tokens: 'five' }, 'max_tokens'],
  ['no tokens without echo', { max_tokens: 0 }, 'max_tokens'],
  ['a huge number of tokens', { max_tokens: 1e15 }, 'max_tokens'],
  ['a negative temperature', { temperature: -0.1 }, 'temperature'],
  ['a temperature as text', { temperature: 'hot' }, 'temperature'],
  ['a temperature of a thousand', { temperature: 1000 }, 'temperature'],
  ['top_p of 0', { top_p: 0 }, 'top_p'],
  ['top_p above 1', { top_p: 1.01 }, 'top_p'],
  ['top_k below -1', { top_k: -2 }, 'top_k'],
  ['top_k with a fraction', { top_k: 1.5 }, 'top_k'],
  ['min_p above 1', { min_p: 2 }, 'min_p'],
  ['typical_p of 0', { typical_p: 0 }, 'typical_p'],
  ['a repetition penalty of 0', { repetition_penalty: 0 }, 'repetition_penalty'],
  ['a frequency penalty of 3', { frequency_penalty: 3 }, 'frequency_penalty'],
  ['a presence penalty of -3', { presence_penalty: -3 }, 'presence_penalty'],
  ['a seed with a fraction', { seed: 1.5 }, 'seed'],
  ['a seed as text', { seed: 'lucky' }, 'seed'],
  ['no choices', { n: 0 }, '"n"'],
  ['too many choices', { n: 1_000_000 }, '"n"'],
  ['best_of below n', { n: 3, best_of: 2 }, 'best_of'],
  ['best_of with a stream', { best_of: 2, stream: true }, 'best_of'],
  ['too many log probabilities', { logprobs: 21 }, 'logprobs'],
  ['negative log probabilities', { logprobs: -1 }, 'logprobs'],
  ['echo as text', { echo: 'yes' }, 'echo'],
  ['an empty stop text', { stop: '' }, 'stop'],
  ['too many stop texts', { stop: Array.from({ length: 100 }, (_, index) => `s${index}`) }, 'stop'],
  ['a stop text of 10,000 characters', { stop: 's'.repeat(10_000) }, 'stop'],
  ['a stop that is a number', { stop: 5 }, 'stop'],
  ['a negative stop token', { stop_token_ids: [-1] }, 'stop_token_ids'],
  ['a bias for a word', { logit_bias: { hello: 1 } }, 'logit_bias'],
  ['a bias outside the vocabulary', { logit_bias: { [VOCABULARY]: 1 } }, 'logit_bias'],
  ['a bias of 101', { logit_bias: { 5: 101 } }, 'logit_bias'],
  ['a bias that is a list', { logit_bias: [1, 2] }, 'logit_bias'],
  ['stream as text', { stream: 'true' }, 'stream'],
  ['stream options without a stream', { stream_options: { include_usage: true } }, 'stream_options'],
  ['unknown stream options', { stream: true, stream_options: { colour: 'red' } }, 'colour'],
  ['an unknown parameter', { temprature: 0.5 }, 'temprature'],
  ['a parameter that is not supported: suffix', { suffix: 'the end' }, 'suffix'],
  ['a grammar that cannot be compiled', { guided_regex: '(a' }, 'guided_regex'],
  ['a parameter that is not supported: prompt_logprobs', { prompt_logprobs: 3 }, 'prompt_logprobs'],
  ['a wish to store', { store: true }, 'store'],
  ['a model that is a number', { model: 7 }, 'model'],
  ['a model of 10,000 characters', { model: 'm'.repeat(10_000) }, 'model'],
  ['an unknown adapter', { model: 'nobody' }, NO_ADAPTER, 404],
  ['a path as adapter', { model: '../../etc/passwd' }, NO_ADAPTER, 404],
  ['an unknown version', { model: 'certain@99' }, NO_ADAPTER, 404],
  ['a version that is no number', { model: 'certain@latest' }, NO_ADAPTER, 404],
  ['a digest that is cut off', { model: 'certain@sha256:abcd' }, NO_ADAPTER, 404],
  ['another base', { model: 'gpt-4:certain' }, NO_ADAPTER, 404],
];

const CHAT: readonly Row[] = [
  ['no messages', { messages: undefined }, 'messages'],
  ['an empty conversation', { messages: [] }, 'messages'],
  ['messages as text', { messages: 'hello' }, 'messages'],
  ['a message that is a text', { messages: ['hello'] }, 'messages'],
  ['a message without a role', { messages: [{ content: 'hello' }] }, 'role'],
  ['a message with a number as content', { messages: [{ role: 'user', content: 5 }] }, 'content'],
  ['a picture', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://127.0.0.1/' } }] }] }, 'content'],
  ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools'],
  ['functions', { functions: [] }, 'functions'],
  ['a template of its own', { chat_template: '{{ 1 }}' }, 'chat_template'],
  ['arguments for the template', { chat_template_kwargs: { a: 1 } }, 'chat_template_kwargs'],
  ['top_logprobs without logprobs', { top_logprobs: 3 }, 'top_logprobs'],
  ['too many top_logprobs', { logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
  ['a negative number of tokens', { max_completion_tokens: -1 }, 'max_completion_tokens'],
  ['no tokens', { max_tokens: 0 }, 'max_tokens'],
  ['too many choices', { n: 100 }, '"n"'],
  ['a conversation over the context', { messages: [{ role: 'user', content: 'a b c d '.repeat(300) }] }, String(CONTEXT)],
  ['an unknown adapter', { model: 'nobody' }, NO_ADAPTER, 404],
];

const GENERATE: readonly Row[] = [
  ['no inputs', { inputs: undefined }, 'inputs'],
  ['inputs as a list', { inputs: ['a'] }, 'inputs'],
  ['empty inputs', { inputs: '' }, 'inputs'],
  ['parameters as text', { parameters: 'many' }, 'parameters'],
  ['an unknown parameter', { parameters: { max_tokens_new: 5 } }, 'max_tokens_new'],
  ['no new tokens', { parameters: { max_new_tokens: 0 } }, 'max_new_tokens'],
  ['new tokens over the context', { parameters: { max_new_tokens: 10_000 } }, String(CONTEXT)],
  ['a negative temperature', { parameters: { temperature: -1 } }, 'temperature'],
  ['top_p of 2', { parameters: { top_p: 2 } }, 'top_p'],
  ['a negative top_k', { parameters: { top_k: -5 } }, 'top_k'],
  ['a repetition penalty of 0', { parameters: { repetition_penalty: 0 } }, 'repetition_penalty'],
  ['truncation to nothing', { parameters: { truncate: 0 } }, 'truncate'],
  ['too many stop texts', { parameters: { stop: Array.from({ length: 100 }, () => 's') } }, 'stop'],
  ['another place to load from', { parameters: { adapter_id: 'certain', adapter_source: 's3' } }, 'adapter_source'],
  ['a token for the hub', { parameters: { adapter_id: 'certain', api_token: 'hf_x' } }, 'api_token'],
  ['a grammar that cannot be kept to', { parameters: { grammar: { type: 'json', value: { not: {} } } } }, 'grammar'],
  ['a watermark', { parameters: { watermark: true } }, 'watermark'],
  ['an unknown adapter', { parameters: { adapter_id: 'nobody' } }, NO_ADAPTER, 404],
];

const BROKEN_BODIES: readonly (readonly [name: string, body: string, word: string])[] = [
  ['no body', '', 'Body'],
  ['a body that is not JSON', 'prompt=hello', 'JSON'],
  ['a body that is cut off', '{"prompt": "hel', 'JSON'],
  ['a body that is a list', '[1]', 'body'],
  ['a body that is null', 'null', 'body'],
  ['a body with __proto__', '{"prompt": "a", "__proto__": {"stream": true}}', '__proto__'],
];

const OTHERS: readonly MalformedRequest[] = [
  { name: 'an unknown route', method: 'GET', path: '/v1/nothing', status: 404, word: '/v1/nothing' },
  { name: 'an unknown route of the admin', method: 'POST', path: '/admin/nothing', status: 404, word: '/admin/nothing' },
  { name: 'a wrong method', method: 'GET', path: '/v1/completions', status: 405, word: 'POST' },
  { name: 'a wrong method on an adapter', method: 'POST', path: '/v1/adapters/certain', status: 405, word: 'PUT' },
  {
    name: 'a text as content type',
    method: 'POST',
    path: '/v1/completions',
    headers: { 'content-type': 'text/plain' },
    body: 'hello',
    status: 415,
    word: 'text/plain',
  },
  {
    name: 'XML',
    method: 'POST',
    path: '/generate',
    headers: { 'content-type': 'application/xml' },
    body: '<a/>',
    status: 415,
    word: 'application/xml',
  },
  {
    name: 'a body of 9 MiB',
    method: 'POST',
    path: '/v1/completions',
    headers: JSON_TYPE,
    body: JSON.stringify({ prompt: 'a'.repeat(9 * 1024 ** 2) }),
    status: 413,
    word: '8MiB',
  },
  {
    name: 'two adapters, in query and body',
    method: 'POST',
    path: '/generate?adapter=certain',
    headers: JSON_TYPE,
    body: JSON.stringify({ inputs: 'a', parameters: { adapter_id: 'other' } }),
    status: 422,
    word: 'adapter',
  },
  { name: 'tokens of nothing', method: 'POST', path: '/tokenize', headers: JSON_TYPE, body: '{}', status: 422, word: 'inputs' },
  {
    name: 'text of tokens that do not exist',
    method: 'POST',
    path: '/detokenize',
    headers: JSON_TYPE,
    body: '{"tokens": [99999]}',
    status: 422,
    word: 'tokens',
  },
  { name: 'an adapter that is not there', method: 'GET', path: '/v1/adapters/nobody', status: 404, word: NO_ADAPTER },
  { name: 'the removal of an adapter that is not there', method: 'DELETE', path: '/v1/adapters/nobody', status: 404, word: NO_ADAPTER },
  {
    name: 'a version that is no number',
    method: 'GET',
    path: '/v1/adapters/certain/versions/one/files/adapter_config.json',
    status: 400,
    word: 'version',
  },
  { name: 'a version that is not there', method: 'DELETE', path: '/v1/adapters/certain/versions/99', status: 404, word: '99' },
  {
    name: 'a file that is not there',
    method: 'GET',
    path: '/v1/adapters/certain/versions/1/files/secrets.txt',
    status: 404,
    word: 'adapter_config.json',
  },
  { name: 'a path as file', method: 'GET', path: '/v1/adapters/certain/versions/1/files/..%2F..%2Florikeet.db', status: 404, word: 'file' },
  {
    name: 'a swap without If-Match',
    method: 'PUT',
    path: '/admin/adapters/certain/active',
    headers: JSON_TYPE,
    body: '{"version": 1}',
    status: 428,
    word: 'If-Match',
  },
  {
    name: 'a swap after a lost race',
    method: 'PUT',
    path: '/admin/adapters/certain/active',
    headers: { ...JSON_TYPE, 'if-match': '"old"' },
    body: '{"version": 1}',
    status: 412,
    word: 'etag',
  },
  {
    name: 'a swap to a version that is not there',
    method: 'PUT',
    path: '/admin/adapters/certain/active',
    headers: { ...JSON_TYPE, 'if-match': '*' },
    body: '{"version": 99}',
    status: 404,
    word: '99',
  },
  {
    name: 'a swap to no version',
    method: 'PUT',
    path: '/admin/adapters/certain/active',
    headers: { ...JSON_TYPE, 'if-match': '*' },
    body: '{}',
    status: 400,
    word: 'version',
  },
  {
    name: 'a swap to version 0',
    method: 'PUT',
    path: '/admin/adapters/certain/active',
    headers: { ...JSON_TYPE, 'if-match': '*' },
    body: '{"version": 0}',
    status: 400,
    word: 'version',
  },
  {
    name: 'an unknown placement',
    method: 'PUT',
    path: '/admin/adapters/certain/placement',
    headers: JSON_TYPE,
    body: '{"mode": "fast"}',
    status: 400,
    word: 'mode',
  },
];

export const MALFORMED_REQUESTS: readonly MalformedRequest[] = [
  ...posts('/v1/completions', { prompt: 'a' }, 400, COMPLETIONS),
  ...posts('/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }] }, 400, CHAT),
  ...posts('/generate', { inputs: 'a' }, 422, GENERATE),
  ...raw('/v1/completions', 400, BROKEN_BODIES),
  ...raw('/generate', 422, BROKEN_BODIES),
  ...OTHERS,
];
