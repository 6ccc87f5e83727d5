// Mixes of adapters in the front's thread for them: the same bytes as where they are computed by the caller, and refusals that cross with their code.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { computeMix, parseMix, type MixComputer } from '../../src/adapters/index.ts';
import { DEFAULT_TENANT, type AdapterName } from '../../src/core/index.ts';
import { threadMixes } from '../../src/entries/mix-runner.ts';
import { openMemoryStorage } from '../../src/storage/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { openTinyRegistry, uploadFiles } from '../support/registry-harness.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const NAMES = ['qv-r8', 'dora-linears', 'rank-above-hidden'] as unknown as readonly AdapterName[];

async function open(compute: MixComputer) {
  const storage = openMemoryStorage(temporaryFolder());
  const registry = await openTinyRegistry(storage, { computeMix: compute, maxRank: 80 });
  for (const name of NAMES) await uploadFiles(registry, { tenant: DEFAULT_TENANT, name }, fixtureAdapter(`tiny-adapters/${name}`));
  return async (text: string): Promise<Buffer> => {
    const mix = parseMix(text);
    if (mix === undefined) throw new Error(`${text} is no mix`);
    const lease = await registry.leaseMix(DEFAULT_TENANT, mix);
    try {
      return lease.digest === null ? Buffer.alloc(0) : readFileSync(storage.blobs.path(lease.digest));
    } finally {
      lease.release();
    }
  };
}

describe('the thread of mixes', () => {
  it('computes what its caller would, also for several who ask at once, and goes on after a refusal', async () => {
    const [inThread, here] = [await open(threadMixes()), await open(computeMix)];
    const refused = inThread('qv-r8*0.5,rank-above-hidden*0.5,dora-linears*1');
    await expect(refused).rejects.toMatchObject({
      code: 'unsupported_adapter',
      message:
        'the mix has rank 84 at layers.0.v (dora-linears@1 4, qv-r8@1 8, rank-above-hidden@1 72), this server allows at most 80 (adapterMaxRank)',
    });
    const mixes = ['qv-r8*0.7,dora-linears*0.3', 'dora-linears*0.5', 'qv-r8*0.5,rank-above-hidden*0.25'];
    const [found, expected] = [await Promise.all(mixes.map(inThread)), await Promise.all(mixes.map(here))];
    for (const [index, bytes] of found.entries()) expect(Buffer.compare(bytes, expected[index] ?? Buffer.alloc(0))).toBe(0);
  });
});
