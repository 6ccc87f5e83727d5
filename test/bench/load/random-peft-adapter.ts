// A PEFT adapter of a given rank on the linears of a base, with small seeded values, as its two files: what a client uploads.
import { adapterFiles, type AdapterFilePair } from '../../support/adapter-files.ts';
import type { BaseModelDescription } from '../../../src/models/index.ts';
import { uniform } from '../uniform.ts';

/** `suffixes`: last components of the modules that it changes; every linear when absent. */
export function randomPeftAdapter(base: BaseModelDescription, rank: number, seed: number, suffixes?: readonly string[]): AdapterFilePair {
  const random = uniform(seed);
  const isWanted = (module: string): boolean => suffixes === undefined || suffixes.some((suffix) => module.endsWith(`.${suffix}`));
  const linears = base.sites.filter(({ kind, module }) => kind === 'linear' && isWanted(module));
  const tensors = linears.flatMap(
    ({ module, inFeatures, outFeatures }) =>
      [
        [
          `base_model.model.${module}.lora_A.weight`,
          { shape: [rank, inFeatures], values: random(rank * inFeatures, 1 / Math.sqrt(inFeatures)) },
        ],
        [`base_model.model.${module}.lora_B.weight`, { shape: [outFeatures, rank], values: random(outFeatures * rank, 0.01) }],
      ] as const,
  );
  const modules = new Set(linears.map(({ module }) => module.slice(module.lastIndexOf('.') + 1)));
  return adapterFiles({ r: rank, lora_alpha: rank, target_modules: [...modules] }, Object.fromEntries(tensors));
}
