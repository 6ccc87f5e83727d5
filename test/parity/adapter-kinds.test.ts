// Every kind of adapter against PEFT without a server: merged into the base's tensors, and exported to GGUF and back. The side path, and answers after
// GGUF and back, are in tiny.test.ts.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ggufFromPeft } from '../../src/adapters/gguf-export.ts';
import { peftFromGguf } from '../../src/adapters/gguf-adapter.ts';
import { packAdapter, type PackedUpload } from '../../src/adapters/pack-adapter.ts';
import { decodePacked, mergedTensors, type PackedAdapter, packedArray } from '../../src/adapters/packed.ts';
import { AppError, systemClock } from '../../src/core/index.ts';
import { type ModelPackage, openModelPackage } from '../../src/models/index.ts';
import { type AdapterFilePair, fixtureAdapter } from '../support/adapter-files.ts';
import { fingerprint, type Fingerprint } from '../support/fingerprint.ts';
import { outcomeOf } from '../support/outcome.ts';
import { fixturePath } from '../support/repository.ts';
import { SMOLLM2_BASE } from '../support/tiny-base.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { GGUF_ROUND_TRIP, MERGED_FP32 } from '../support/tolerances.ts';
import { KINDS, NOT_IN_GGUF } from '../support/adapter-kinds.ts';

const FOLDERS = [
  ['tiny-adapters', 'tiny-llama'],
  ['tiny-adapters-untied', 'tiny-llama-untied'],
  ['tiny-adapters-merged', 'tiny-llama'],
] as const;

describe.each(FOLDERS)('%s', (folder, baseName) => {
  const modelsDir = temporaryFolder();
  let base: ModelPackage;

  beforeAll(async () => {
    await importTinyModel(baseName, modelsDir);
    base = await openModelPackage(`${modelsDir}/${baseName}`);
  });
  afterAll(async () => await base.close());

  const merged = JSON.parse(readFileSync(fixturePath(`${folder}/merged.json`), 'utf8')) as Record<string, Record<string, Fingerprint>>;
  const names = Object.keys(merged);

  it('has a table for every adapter in it', () => {
    const adapters = readdirSync(fixturePath(folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(adapters.map(({ name }) => name).filter((name) => name !== 'refused')).toEqual(names.toSorted());
  });

  it.each(names.filter((name) => Object.keys(merged[name] ?? {}).length > 0))('merges as PEFT does: %s', async (name) => {
    const { bytes, kind } = await pack(fixtureAdapter(`${folder}/${name}`), base);
    expect(kind).toBe(folder === 'tiny-adapters-merged' ? 'lora-full' : 'lora');
    const merges = mergedTensors(decodePacked(bytes), base.description.sites);
    expect([...merges.keys()].toSorted()).toEqual(Object.keys(merged[name] ?? {}).toSorted());
    for (const [tensor, [norm, product]] of Object.entries(merged[name] ?? {})) {
      const before = tensor === 'lm_head.weight' ? await base.weights.readWeight('lm_head') : await base.weights.readTensor(tensor);
      const found = fingerprint(merges.get(tensor)?.(before) ?? new Float32Array());
      const error = Math.max(Math.abs(found[0] - norm), Math.abs(found[1] - product)) / norm;
      expect({ tensor, error: error <= MERGED_FP32 ? 'within' : error }).toEqual({ tensor, error: 'within' });
    }
  });

  it.each(names)('goes to GGUF and back, or is refused with the reason: %s', async (name) => {
    expect(await roundTrip(`${folder}/${name}`, base)).toMatch(NOT_IN_GGUF[`${folder}/${name}`] ?? SAME);
  });
});

describe('the table of kinds', () => {
  const isCase = (path: string): boolean => existsSync(fixturePath(`${path}/adapter_config.json`));

  it.each(Object.entries(KINDS))('has fixtures for %s', (_kind, cases) => {
    expect(cases.length).toBeGreaterThan(0);
    expect(cases.filter((path) => !isCase(path))).toEqual([]);
  });

  it('knows every fixture, and what GGUF cannot say only of fixtures', () => {
    const adapters = FOLDERS.flatMap(([folder]) =>
      readdirSync(fixturePath(folder))
        .map((name) => `${folder}/${name}`)
        .filter(isCase),
    );
    expect(adapters.filter((path) => !Object.values(KINDS).flat().includes(path))).toEqual([]);
    expect(Object.keys(NOT_IN_GGUF).filter((path) => !isCase(path))).toEqual([]);
  });
});

describe('the adapters of the real model', () => {
  const unread = (): Promise<never> => Promise.reject(new Error('only DoRA needs weights here'));
  const base = { description: SMOLLM2_BASE, weights: { readWeight: unread, readTensor: unread } };

  it.each(readdirSync(fixturePath('parity/adapters')))('go to GGUF and back, or are refused with the reason: %s', async (name) => {
    expect(await roundTrip(`parity/adapters/${name}`, base)).toMatch(NOT_IN_GGUF[`parity/adapters/${name}`] ?? SAME);
  });
});

type Base = Pick<ModelPackage, 'description' | 'weights'>;

async function pack(files: AdapterFilePair, { description, weights }: Base): Promise<PackedUpload> {
  return await packAdapter(files, { base: description, weights, maxRank: 128, clock: systemClock });
}

const SAME = 'the same, and the same bytes when it goes again';

/** To GGUF and back, twice: what is different then, or why GGUF cannot have it. */
async function roundTrip(folder: string, base: Base): Promise<string> {
  const files = fixtureAdapter(folder);
  const { description } = base;
  const { value: gguf, error } = outcomeOf(() => ggufFromPeft(files, description, 'x'));
  if (gguf === undefined) return error instanceof AppError ? error.message : String(error);
  const back = await peftFromGguf(gguf, description);
  const [expected, found] = [decodePacked((await pack(files, base)).bytes), decodePacked((await pack(back, base)).bytes)];
  const sitesOf = ({ header }: PackedAdapter): string => header.sites.map(({ site, rank }) => `${site} ${rank}`).join();
  if (sitesOf(found) !== sitesOf(expected)) return `other sites: ${sitesOf(found)}`;
  const distance = farthest(expected, found);
  const again = await peftFromGguf(ggufFromPeft(back, description, 'x'), description);
  const isStable = Buffer.compare(again.tensors, back.tensors) === 0;
  return distance <= GGUF_ROUND_TRIP && isStable ? SAME : `off by ${distance}, stable: ${isStable}`;
}

/** Largest difference of A and of B, relative to the largest value of the array. */
function farthest(expected: PackedAdapter, found: PackedAdapter): number {
  const differences = expected.header.sites.flatMap((site, index) =>
    (['a', 'b'] as const).map((part) => {
      const other = found.header.sites[index]?.[part];
      const [left, right] = [packedArray(expected, site[part]), other ? packedArray(found, other) : new Float32Array()];
      const scale = left.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return left.reduce((most, value, at) => Math.max(most, Math.abs(value - (right[at] ?? Number.NaN))), 0) / scale;
    }),
  );
  return differences.reduce((most, value) => (value <= most ? most : value), 0);
}
