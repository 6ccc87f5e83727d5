// Uploads of PEFT's own files against the tiny base: what fits is packed, what does not is refused by name.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { adapterFiles, fixtureAdapter, plainAdapter, type AdapterFilePair } from '../../test/support/adapter-files.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import { fixturePath } from '../../test/support/repository.ts';
import { SMOLLM2_BASE, TINY_BASE, tinyWeights } from '../../test/support/tiny-base.ts';
import { systemClock, type ErrorCode } from '../core/index.ts';
import { packAdapter, type PackedUpload, type PackingContext } from './pack-adapter.ts';
import { decodePacked, packedArray } from './packed.ts';
import { validateAdapter } from './validate.ts';

const CONTEXT: PackingContext = { base: TINY_BASE, weights: tinyWeights(), maxRank: 128, clock: systemClock };

async function pack(files: AdapterFilePair, context: Partial<PackingContext> = {}): Promise<PackedUpload> {
  return await packAdapter(files, { ...CONTEXT, ...context });
}

function foldersOf(folder: string): readonly string[] {
  return readdirSync(fixturePath(folder), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

describe('adapters that PEFT saved for the tiny base', () => {
  it.each(foldersOf('tiny-adapters').filter((name) => name !== 'refused'))('%s is packed with finite values', async (name) => {
    const upload = await pack(fixtureAdapter(`tiny-adapters/${name}`));
    const adapter = decodePacked(upload.bytes);
    expect(adapter.header.baseDigest).toBe(TINY_BASE.digest);
    expect(adapter.header.sites.length).toBeGreaterThan(0);
    for (const site of adapter.header.sites) {
      const arrays = [site.a, site.b, site.gain, site.bias].filter((array) => array !== undefined);
      expect(arrays.every((array) => packedArray(adapter, array).every((value) => Number.isFinite(value)))).toBe(true);
      expect(site.gain !== undefined).toBe(name.startsWith('dora') || name === 'fan-in-fan-out');
      expect(site.bias !== undefined).toBe(name.startsWith('lora-bias'));
    }
  });

  it('give the same packed bytes each time', async () => {
    const [first, second] = await Promise.all([
      pack(fixtureAdapter('tiny-adapters/dora-qv')),
      pack(fixtureAdapter('tiny-adapters/dora-qv')),
    ]);
    expect(Buffer.compare(first.bytes, second.bytes)).toBe(0);
  });

  it('describe themselves by largest rank and target modules', async () => {
    const upload = await pack(fixtureAdapter('tiny-adapters/qv-r8'));
    expect(upload).toMatchObject({ kind: 'lora', rank: 8, targetModules: ['q_proj', 'v_proj'] });
  });

  it('put head and embedding on their own sites, though the weight is tied', async () => {
    const sitesOf = async (name: string): Promise<readonly string[]> =>
      decodePacked((await pack(fixtureAdapter(`tiny-adapters/${name}`))).bytes).header.sites.map((site) => site.site);
    expect(await sitesOf('head')).toEqual(['head']);
    expect(await sitesOf('embedding')).toEqual(['embed']);
  });
});

interface Refusal {
  readonly code: ErrorCode;
  readonly words: readonly string[];
}

describe('adapters that this server cannot apply as PEFT would', () => {
  const table = JSON.parse(readFileSync(fixturePath('tiny-adapters/refused/expected.json'), 'utf8')) as Record<string, Refusal>;

  it.each(Object.entries(table))('%s is refused, and the message says why', async (name, { code, words }) => {
    const refusal = await refusalOf(async () => await pack(fixtureAdapter(`tiny-adapters/refused/${name}`)));
    expect(refusal.code).toBe(code);
    for (const word of words) expect(refusal.message).toContain(word);
  });

  it('above the largest rank are refused with both ranks', async () => {
    const refusal = await refusalOf(async () => await pack(fixtureAdapter('tiny-adapters/qv-r8'), { maxRank: 7 }));
    expect(refusal.code).toBe('unsupported_adapter');
    expect(refusal.message).toMatch(/rank 8.*at most 7/);
  });

  it('that are zip archives of torch.save are refused with the way out', async () => {
    const { config } = plainAdapter(1, TINY_BASE.hiddenSize);
    const refusal = await refusalOf(async () => await pack({ config, tensors: Buffer.from('PK\u0003\u0004 and so on') }));
    expect(refusal.code).toBe('unsupported_adapter');
    expect(refusal.message).toContain('safe_serialization=True');
  });

  it('whose configuration is not text are refused', async () => {
    const { tensors } = plainAdapter(1, TINY_BASE.hiddenSize);
    const refusal = await refusalOf(async () => await pack({ config: Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d), tensors }));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('not UTF-8');
  });

  it('with tensors of a Linear on the embedding are refused', async () => {
    const prefix = 'base_model.model.model.embed_tokens';
    const files = adapterFiles(
      { r: 1, target_modules: ['embed_tokens'] },
      {
        [`${prefix}.lora_A.weight`]: { shape: [1, 384], values: new Float32Array(384) },
        [`${prefix}.lora_B.weight`]: { shape: [64, 1], values: new Float32Array(64) },
      },
    );
    const refusal = await refusalOf(async () => await pack(files));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('form embedding');
  });
});

describe('the parity adapters', () => {
  it.each(foldersOf('parity/adapters'))('%s fits the default base model', (name) => {
    const adapter = validateAdapter(fixtureAdapter(`parity/adapters/${name}`), SMOLLM2_BASE, 256);
    expect(adapter.sites.length).toBeGreaterThanOrEqual(21);
    for (const site of adapter.sites) expect(site.read().rank).toBeGreaterThan(0);
  });

  it('have the scales that their configurations say, patterns included', () => {
    const { sites } = validateAdapter(fixtureAdapter('parity/adapters/r12-mixed'), SMOLLM2_BASE, 256);
    const scales = new Map(sites.map((each) => [each.site.id, each.read().scale]));
    expect(scales.get('layers.1.q')).toBe(16 / 4);
    expect(scales.get('layers.1.down')).toBe(24 / 20);
    expect(scales.get('layers.28.v')).toBe(24 / 12);
    const rslora = validateAdapter(fixtureAdapter('parity/adapters/rslora-attn'), SMOLLM2_BASE, 256);
    expect(rslora.sites[0]?.read().scale).toBeCloseTo(8 / Math.sqrt(8), 12);
  });
});
