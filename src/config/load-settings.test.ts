import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatByteSize, parseByteSize } from './byte-size.ts';
import { formatSettings, loadSettings, settingInfos } from './index.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorikeet-config-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function load(flags: Record<string, unknown> = {}, environment: Record<string, string> = {}, file?: string) {
  if (file !== undefined) writeFileSync(join(folder, 'lorikeet.config.json'), file);
  return loadSettings({ flags, environment, folder });
}

describe('loading settings', () => {
  it('gives the documented defaults when nothing is set', () => {
    const { settings, sources } = load();
    expect(settings).toMatchObject({ host: '127.0.0.1', port: 8080, dataDir: 'adapters/store', modelsDir: 'models', adapterMaxRank: 256 });
    expect(settings.model).toBe('smollm2-135m-instruct');
    expect(new Set(Object.values(sources))).toEqual(new Set(['default']));
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('prefers the flag over the environment, and the environment over the file', () => {
    const file = '{"port": 1, "host": "a", "model": "m"}';
    const { settings, sources } = load({ port: '3' }, { LORIKEET_PORT: '2', LORIKEET_HOST: 'b' }, file);
    expect([settings.port, settings.host, settings.model]).toEqual([3, 'b', 'm']);
    expect([sources.port, sources.host, sources.model, sources.dataDir]).toEqual(['flag', 'environment', 'file', 'default']);
  });

  it('takes HF_ENDPOINT for the hub when nothing of ours names one', () => {
    const shared = { HF_ENDPOINT: 'https://mirror.example' };
    const hubOf = (...given: Parameters<typeof load>) => {
      const { settings, sources } = load(...given);
      return [settings.hubEndpoint, sources.hubEndpoint];
    };
    expect(hubOf({}, shared)).toEqual(['https://mirror.example', 'shared-environment']);
    expect(formatSettings(load({}, shared))).toMatch(/^hubEndpoint +https:\/\/mirror\.example +environment HF_ENDPOINT$/m);
    expect(() => load({}, { HF_ENDPOINT: 'mirror.example' })).toThrow('HF_ENDPOINT: got "mirror.example", expected an http or https URL');
    expect(hubOf({}, { HF_ENDPOINT: '' })).toEqual(['https://huggingface.co', 'default']);
    expect(hubOf({}, shared, '{"hubEndpoint": "https://file.example"}')).toEqual(['https://file.example', 'file']);
    expect(hubOf({ hubEndpoint: 'https://flag.example' }, shared)).toEqual(['https://flag.example', 'flag']);
  });

  it('reads sizes with units and words that stand for "not given"', () => {
    const { settings } = load({ kvCacheBytes: '512MiB', maxContext: 'auto', samplesDir: 'none', adapterHostBytes: 2_000_000 });
    expect(settings).toMatchObject({ kvCacheBytes: 512 * 1024 ** 2, maxContext: null, samplesDir: null, adapterHostBytes: 2_000_000 });
  });

  it.each([
    [{ port: '80a' }, {}, undefined, '--port: got "80a", expected a whole number from 0 to 65535'],
    [{ port: 70_000 }, {}, undefined, '--port: got 70000, expected a whole number from 0 to 65535'],
    [{}, { LORIKEET_DEVICE: 'tpu' }, undefined, 'LORIKEET_DEVICE: got "tpu", expected one of auto, cpu, webgpu, cuda'],
    [{}, {}, '{"maxBatch": 0}', 'maxBatch in lorikeet.config.json: got 0, expected a whole number from 1 to 1024'],
    [{}, {}, '{"maxbatch": 1}', 'unknown setting "maxbatch" (lorikeet.config.json)'],
    [{ colour: 'red' }, {}, undefined, 'unknown setting "colour" (flag)'],
    [{}, { LORIKEET_PROT: '1' }, undefined, 'unknown environment variable LORIKEET_PROT'],
    [{}, {}, '[1]', 'lorikeet.config.json: got [1], expected one JSON object'],
    [{}, {}, '{', 'lorikeet.config.json is not valid JSON'],
    [{ kvCacheBytes: '5 parsec' }, {}, undefined, '--kv-cache-bytes: got "5 parsec", expected a number of bytes'],
    [{ publicUrl: 'ftp://x' }, {}, undefined, '--public-url: got "ftp://x", expected an http or https URL, or "none"'],
  ])('refuses %j %j %j by name', (flags, environment, file, message) => {
    expect(() => load(flags, environment, file)).toThrow(message);
  });

  it('prints every setting with its source', () => {
    const printed = formatSettings(load({ kvCacheBytes: '1GiB' }, { LORIKEET_LOG_LEVEL: 'warn' }));
    expect(printed.split('\n')).toHaveLength(settingInfos().length);
    expect(printed).toMatch(/^kvCacheBytes +1GiB +flag --kv-cache-bytes$/m);
    expect(printed).toMatch(/^logLevel +warn +environment LORIKEET_LOG_LEVEL$/m);
  });

  it('accepts every default as one would write it', () => {
    const written = Object.fromEntries(settingInfos().map((info) => [info.key, info.standardText]));
    expect(load(written).settings).toEqual(load().settings);
  });
});

describe('byte sizes', () => {
  it('read back as they were written', () => {
    fc.assert(
      fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (bytes) => {
        expect(parseByteSize(formatByteSize(bytes))).toBe(bytes);
      }),
    );
  });
});
