// An adapter that PEFT made for the default model, packed as the server packs it.
import { packAdapter } from '../../src/adapters/pack-adapter.ts';
import { decodePacked, type PackedAdapter } from '../../src/adapters/packed.ts';
import { systemClock } from '../../src/core/index.ts';
import type { ModelPackage } from '../../src/models/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';

export async function parityAdapter({ description, weights }: ModelPackage, name: string): Promise<PackedAdapter> {
  const files = fixtureAdapter(`parity/adapters/${name}`);
  return decodePacked((await packAdapter(files, { base: description, weights, maxRank: 256, clock: systemClock })).bytes);
}
