// Merged forms made in the test's own process, as the server's merging process makes them.
import { decodePacked, mergedTensors, type PackedAdapter } from '../../src/adapters/packed.ts';
import { packAdapter } from '../../src/adapters/pack-adapter.ts';
import { type Digest, systemClock } from '../../src/core/index.ts';
import { MergedForms } from '../../src/engine/executor/index.ts';
import { type CompiledModel, makeMergedForm, type ModelPackage } from '../../src/models/index.ts';
import type { AdapterFilePair } from './adapter-files.ts';
import { sha256 } from './fake-adapters.ts';

/** Forms of the given adapters over a form of the base; more than the tests have are kept. */
export function mergedFormsOf(
  model: ModelPackage,
  base: CompiledModel,
  folder: string,
  adapterOf: (digest: Digest) => PackedAdapter,
): MergedForms {
  const kv = base.kvScales ? 'int8' : 'fp32';
  return new MergedForms({
    folder,
    base,
    make: async (digest, target) => {
      const merges = mergedTensors(adapterOf(digest), model.description.sites);
      await makeMergedForm(model, { precision: base.precision, kv, merges }, target);
    },
    isStored: () => Promise.resolve(true),
    keepCount: 100,
    clock: systemClock,
  });
}

export interface PackedFixture {
  readonly digest: Digest;
  readonly adapter: PackedAdapter;
}

/** As an upload packs it. */
export async function packFixture(files: AdapterFilePair, { description, weights }: ModelPackage): Promise<PackedFixture> {
  const { bytes } = await packAdapter(files, { base: description, weights, maxRank: 256, clock: systemClock });
  return { digest: sha256(bytes), adapter: decodePacked(bytes) };
}
