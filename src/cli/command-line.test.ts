import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandContext } from './context.ts';
import { createProgram, runCommandLine } from './program.ts';

let folder = '';
let server: Server | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-cli-'));
});

afterEach(async () => {
  server?.close();
  server = null;
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly notes: string;
}

function contextIn(
  environment: Readonly<Record<string, string>>,
): CommandContext & { readonly output: PassThrough; readonly notes: PassThrough } {
  return { environment, workingDirectory: folder, isTerminal: false, output: new PassThrough(), notes: new PassThrough() };
}

async function run(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const context = contextIn({ LORIKEET_DATA_DIR: join(folder, 'store'), LORIKEET_MODELS_DIR: join(folder, 'models'), ...environment });
  const status = await runCommandLine(words, context);
  const text = (stream: PassThrough): string => String(stream.read() ?? '');
  return { status, output: text(context.output), notes: text(context.notes) };
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A server that answers what `answer` says; resolves to its address. */
async function listen(answer: (request: IncomingMessage) => Answer): Promise<string> {
  const listening = createServer((request, response) => {
    const { status, body, headers } = answer(request);
    request.resume().on('end', () => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    });
  });
  server = listening;
  await new Promise<void>((resolve) => {
    listening.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

function leaves(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  const own = path.length === 0 ? [] : [path];
  return command.commands.length === 0 ? own : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

describe('help', () => {
  const commands = leaves(createProgram(contextIn({})));

  it('knows every command of the first release', () => {
    expect(commands.map((path) => path.join(' '))).toEqual([
      'serve',
      'pull',
      'import',
      'models',
      'adapters list',
      'adapters push',
      'adapters pull',
      'adapters inspect',
      'adapters compare',
      'adapters merge',
      'adapters bake',
      'adapters activate',
      'adapters rollback',
      'adapters pin',
      'adapters rm',
      'train start',
      'train list',
      'train watch',
      'train cancel',
      'train pause',
      'train resume',
      'train sweep',
      'keys create',
      'keys list',
      'keys revoke',
      'doctor',
    ]);
  });

  it.each(commands.map((path) => path.join(' ')))('of "%s" shows an example and --json', async (path) => {
    const { status, output } = await run([...path.split(' '), '--help']);
    expect(status).toBe(0);
    expect(output).toContain(`$ lorikeet ${path}`);
    expect(output).toContain('--json');
  });
});

describe('mistakes', () => {
  it.each([
    [['bogus'], "unknown command 'bogus'"],
    [['pull'], "missing required argument 'model'"],
    [['import', 'folder'], "required option '--id <id>' not specified"],
    [['serve', '--port', 'many'], '--port: got "many", expected a whole number from 0 to 65535'],
    [['adapters', 'rm', 'x', 'latest'], 'version "latest": expected a whole number from 1'],
    [['adapters', 'push', 'x', 'missing-folder'], 'expected a folder that holds adapter_config.json and adapter_model.safetensors'],
    [['adapters', 'list', '--url', 'ftp://x'], '--url "ftp://x" is no http or https address'],
    [['adapters', 'merge', 'poet*x', '--out', 'y'], 'got "poet*x", expected an adapter or ./folder with a weight, like poet*0.7'],
    [['adapters', 'merge', '*2', '--out', 'y'], 'got "*2", expected an adapter or ./folder with a weight'],
    [['adapters', 'merge', 'poet*1e999', '--out', 'y'], 'got the weight "Infinity", expected a number from -100 to 100'],
    [['adapters', 'merge', './nothing', '--out', 'y'], 'expected a folder with adapter_config.json and adapter_model.safetensors'],
    [['adapters', 'merge', 'a@1@2', '--out', 'y'], 'got "a@1@2", expected name or name@version'],
    [['adapters', 'merge', 'a', 'b', '--strategy', 'ties', '--out', 'y'], '--density: got none, expected a share above 0'],
    [['adapters', 'merge', 'a', '--strategy', 'best', '--out', 'y'], 'Allowed choices are sum, linear, ties, dare_linear, dare_ties'],
    [['adapters', 'merge', 'a', '--density', '0.5', '--out', 'y'], '--density: sum keeps all values'],
    [['adapters', 'merge', 'a', '--rank', '0', '--out', 'y'], '--rank: got "0", expected a whole number from 1'],
    [['adapters', 'merge', 'a'], "required option '--out <target>' not specified"],
    [['adapters', 'bake', 'a', '--shard-gib', '-1', '--out', 'y'], '--shard-gib: got "-1", expected a number above 0'],
    [['adapters', 'bake', 'a', '--dtype', 'int8', '--out', 'y'], 'Allowed choices are float32, bfloat16, float16'],
    [['keys', 'create', '--tenant', 'Not A Name', '--role', 'operator'], '--tenant "Not A Name": expected lower-case letters'],
    [['import', 'x', '--id', 'x', '--precision', 'int3'], 'precision: got "int3"'],
  ])('%j is a usage error of one line', async (words, message) => {
    const { status, output, notes } = await run(words);
    expect(notes).toContain(message);
    expect(notes.trimEnd().split('\n')).toHaveLength(1);
    expect(output).toBe('');
    expect(status).toBe(2);
  });
});

describe('serve --print-settings', () => {
  it('shows each setting with its source', async () => {
    await writeFile(join(folder, 'lorikeet.config.json'), JSON.stringify({ maxBatch: 4 }));
    const { output } = await run(['serve', '--print-settings', '--port', '9000', '--json']);
    const settings = JSON.parse(output) as { readonly key: string; readonly value: string; readonly source: string }[];
    const find = (key: string): unknown => settings.find((setting) => setting.key === key);
    expect(find('port')).toEqual({ key: 'port', value: '9000', source: 'flag --port' });
    expect(find('maxBatch')).toEqual({ key: 'maxBatch', value: '4', source: 'lorikeet.config.json' });
    expect(find('dataDir')).toMatchObject({ source: 'environment LORIKEET_DATA_DIR' });
  });
});

describe('keys in a data directory that no server uses', () => {
  it('are created, listed without their secret, and revoked', async () => {
    const first = await run(['keys', 'create', '--role', 'operator']);
    expect(first.output).toMatch(/^lk_\S+\n$/);
    const second = JSON.parse((await run(['keys', 'create', '--tenant', 'acme', '--json'])).output) as { id: string; secret: string };
    const listed = await run(['keys', 'list', '--tenant', 'acme']);
    expect(listed.output).toContain(`${second.id}  acme    inference`);
    expect(listed.output).not.toContain(second.secret);
    expect((await run(['keys', 'revoke', second.id])).status).toBe(0);
    expect(JSON.parse((await run(['keys', 'list', '--json'])).output)).toHaveLength(1);
  });

  it('begin with an operator', async () => {
    const { status, notes } = await run(['keys', 'create', '--role', 'inference']);
    expect(status).toBe(1);
    expect(notes).toContain('first key must have role operator');
  });
});

describe('commands that talk to a server', () => {
  it('say that none answers', async () => {
    const url = await listen(() => ({ status: 200, body: {} }));
    server?.close();
    const { status, notes } = await run(['adapters', 'list', '--url', url]);
    expect(status).toBe(1);
    expect(notes).toContain(`no server answers at ${url} (ECONNREFUSED); start one with "lorikeet serve"`);
  });

  it('send LORIKEET_API_KEY and say what to do when it is refused', async () => {
    const seen: (string | undefined)[] = [];
    const url = await listen(({ headers }) => {
      seen.push(headers.authorization);
      return { status: 401, body: { error: { message: 'a key is required', code: 'unauthorized' } } };
    });
    const { notes } = await run(['adapters', 'list', '--url', url], { LORIKEET_API_KEY: 'lk_test' });
    expect(seen).toEqual(['Bearer lk_test']);
    expect(notes).toBe('lorikeet: a key is required; LORIKEET_API_KEY holds a key that this server does not know\n');
  });

  it('roll back with the tag that they read', async () => {
    const writes: unknown[] = [];
    const url = await listen(({ method, url: path = '', headers }) => {
      if (method === 'PUT') writes.push([path, headers['if-match']]);
      if (path.endsWith('/versions')) return { status: 200, body: { data: [{ version: 5 }, { version: 2 }, { version: 3 }] } };
      return { status: 200, body: { version: 5 }, headers: { etag: '"tag"' } };
    });
    const { status, output } = await run(['adapters', 'rollback', 'mine', '--url', url]);
    expect(status).toBe(0);
    expect(output).toBe('mine serves version 3 again\n');
    expect(writes).toEqual([['/admin/adapters/mine/active', '"tag"']]);
  });

  it('leave no half file behind when a download is refused', async () => {
    const url = await listen(() => ({ status: 404, body: { error: { message: 'no such version', code: 'not_found' } } }));
    const target = join(folder, 'copy');
    const { status, notes } = await run(['adapters', 'pull', 'mine', target, '7', '--url', url]);
    expect(status).toBe(1);
    expect(notes).toBe('lorikeet: no such version\n');
    expect(await readdir(target)).toEqual([]);
  });
});
