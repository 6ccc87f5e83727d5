// One mix computed: packed or original files of its parts in, a packed file out. Seconds of CPU and much memory at large ranks, so the front
// has it done in a thread of its own.
import { readFile, writeFile } from 'node:fs/promises';
import { AppError, type Digest } from '../../core/index.ts';
import type { BaseModelDescription } from '../../models/index.ts';
import type { AdapterFileRow } from '../../storage/index.ts';
import { readAsPeft } from '../adapter-files.ts';
import { packSite } from '../pack-site.ts';
import { decodePacked, encodePacked, type PackedSiteContent } from '../packed.ts';
import { mergeLora } from './merge-lora.ts';
import type { MixRecipe } from './mix.ts';
import { sumOfDeltas } from './sum-of-deltas.ts';

/** Plain data: it crosses to a thread. */
export interface MixTask {
  readonly base: BaseModelDescription;
  readonly parts: readonly MixTaskPart[];
  readonly recipe: MixRecipe;
  /** Largest rank of a site. */
  readonly maxRank: number;
  /** Where the packed form is written; not there yet. */
  readonly target: string;
}

export interface MixTaskPart {
  /** For messages, for example `poet@3`. */
  readonly label: string;
  readonly weight: number;
  readonly packedPath: string;
  /** Original files, each with its place on the disk. */
  readonly files: readonly (AdapterFileRow & { readonly path: string })[];
}

/** Computes a mix and writes it. @throws AppError `unsupported_adapter` for parts that cannot be mixed this way. */
export type MixComputer = (task: MixTask) => Promise<void>;

export async function computeMix({ base, parts, recipe, maxRank, target }: MixTask): Promise<void> {
  const sites = recipe.kind === 'sum' ? await summed(parts, maxRank) : await merged(parts, recipe, base);
  requireFinite(sites);
  await writeFile(target, encodePacked(base.digest, sites), { flag: 'wx', mode: 0o600 });
}

async function summed(parts: readonly MixTaskPart[], maxRank: number): Promise<readonly PackedSiteContent[]> {
  const weighted = await Promise.all(
    parts.map(async ({ packedPath, ...part }) => ({ ...part, adapter: decodePacked(new Uint8Array(await readFile(packedPath))) })),
  );
  return sumOfDeltas(weighted, maxRank);
}

async function merged(
  parts: readonly MixTaskPart[],
  strategy: Extract<MixRecipe, { kind: 'lorax' }>,
  base: BaseModelDescription,
): Promise<readonly PackedSiteContent[]> {
  const loraParts = await Promise.all(
    parts.map(async ({ label, weight, files }) => ({ label, weight, files: await readAsPeft(files, { path: pathOf(files) }, base) })),
  );
  const sites: PackedSiteContent[] = [];
  for (const site of mergeLora(loraParts, strategy, 'lorax', base)) sites.push(await packSite(site, noWeights, () => undefined));
  return sites;
}

function pathOf(files: MixTaskPart['files']): (digest: Digest) => string {
  return (digest) => {
    const file = files.find((candidate) => candidate.digest === digest);
    if (file === undefined) throw new Error(`mix: no file ${digest} was given`);
    return file.path;
  };
}

function noWeights(module: string): Promise<never> {
  return Promise.reject(new Error(`mix: ${module} has no DoRA, so no weight is read`));
}

/** Weights of up to 100 may carry large adapters out of float32. */
function requireFinite(sites: readonly PackedSiteContent[]): void {
  for (const { site, b, gain, bias } of sites) {
    if ([b, gain, bias].every((values) => values?.every(Number.isFinite) ?? true)) continue;
    throw new AppError('unsupported_adapter', `the mix has a value that is too large for float32 at ${site}: use smaller weights`);
  }
}
