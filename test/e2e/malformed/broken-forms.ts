// Uploads whose parts are fine but whose form, name or query is not. Data only.
import type { AdapterFilePair } from '../../support/adapter-files.ts';

export interface BrokenForm {
  readonly name: string;
  /** Path and query. */
  readonly path: string;
  readonly body: FormData | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** What the message must name. */
  readonly word: string;
}

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PATH = '/v1/adapters/broken';
/** How every file of torch.save begins. */
const ZIP = new TextEncoder().encode('PK\u0003\u0004 archive/data.pkl');

export function brokenForms(files: AdapterFilePair): readonly BrokenForm[] {
  const form = (...parts: readonly (readonly [name: string, bytes: Uint8Array])[]): FormData => {
    const data = new FormData();
    for (const [name, bytes] of parts) data.append(name, new Blob([bytes.slice()]), name);
    return data;
  };
  const config = [CONFIG, files.config] as const;
  const weights = [WEIGHTS, files.tensors] as const;
  const whole = form(config, weights);
  return [
    { name: 'a form without parts', path: PATH, body: form(), status: 400, word: CONFIG },
    { name: 'a form without weights', path: PATH, body: form(config), status: 400, word: WEIGHTS },
    { name: 'a form without configuration', path: PATH, body: form(weights), status: 400, word: CONFIG },
    { name: 'a form with two configurations', path: PATH, body: form(config, config, weights), status: 400, word: CONFIG },
    {
      name: 'a form with a third file',
      path: PATH,
      body: form(config, weights, ['optimizer.pt', files.config]),
      status: 400,
      word: 'optimizer.pt',
    },
    {
      name: 'pickled weights',
      path: PATH,
      body: form(config, ['adapter_model.bin', files.tensors]),
      status: 400,
      word: 'adapter_model.bin',
    },
    { name: 'a path as part', path: PATH, body: form(config, ['../../evil.safetensors', files.tensors]), status: 400, word: WEIGHTS },
    {
      name: 'a configuration of 2 MiB',
      path: PATH,
      body: form([CONFIG, new Uint8Array(2 * 1024 ** 2)], weights),
      status: 413,
      word: CONFIG,
    },
    { name: 'a zip archive as weights', path: PATH, body: form(config, [WEIGHTS, ZIP]), status: 422, word: 'pickle' },
    {
      name: 'JSON in place of a form',
      path: PATH,
      body: '{}',
      headers: { 'content-type': 'application/json' },
      status: 415,
      word: 'multipart/form-data',
    },
    {
      name: 'a form without a boundary',
      path: PATH,
      body: 'x',
      headers: { 'content-type': 'multipart/form-data' },
      status: 400,
      word: 'form',
    },
    {
      name: 'a form that is cut off',
      path: PATH,
      body: '--b\r\nContent-Dis',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      status: 400,
      word: 'form',
    },
    { name: 'a name in capitals', path: '/v1/adapters/Broken', body: whole, status: 400, word: 'Broken' },
    { name: 'a name that begins with a dot', path: '/v1/adapters/.broken', body: whole, status: 400, word: '.broken' },
    { name: 'a name with a slash', path: '/v1/adapters/a%2Fb', body: whole, status: 400, word: 'a/b' },
    { name: 'a name of 64 characters', path: `/v1/adapters/${'n'.repeat(64)}`, body: whole, status: 400, word: '63' },
    { name: 'the name of the base', path: '/v1/adapters/tiny-llama', body: whole, status: 400, word: 'tiny-llama' },
    { name: 'a query that is neither true nor false', path: `${PATH}?activate=maybe`, body: whole, status: 400, word: 'activate' },
  ];
}
