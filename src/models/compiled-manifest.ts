// What a compiled form's folder says of itself: who made it, of what, and which files belong to it.
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../core/index.ts';
import type { WeightEntry } from '../runtime/index.ts';
import type {
  CommonProfile,
  CompiledModel,
  GraphProfile,
  KvPrecision,
  LoraInputGroup,
  Precision,
  SideLevelsGraph,
} from './compiled-model.ts';
import type { RowKernels } from './row-wise/row-wise-groups.ts';

const MANIFEST_FILE = 'manifest.json';

export interface ManifestFile {
  readonly file: string;
  readonly bytes: number;
  readonly weightNames: readonly string[];
}

export interface ManifestGraph extends ManifestFile {
  readonly loraGroups: readonly LoraInputGroup[];
}

interface ManifestSideLevels extends ManifestFile {
  readonly stacks: SideLevelsGraph['stacks'];
  readonly groupIds: SideLevelsGraph['groupIds'];
}

/** By kind of call; null: the form has none of its own. */
interface ManifestGraphs {
  readonly rows: Readonly<Record<GraphProfile, ManifestGraph>>;
  readonly mixed: Readonly<Record<CommonProfile, ManifestGraph>>;
  readonly token: Readonly<Record<CommonProfile, ManifestGraph>> | null;
}

export interface Manifest {
  readonly compilerVersion: number;
  readonly baseDigest: Digest;
  readonly precision: Precision;
  /** How projection groups are multiplied row by row in integers; null: none is. */
  readonly rowWise: (RowKernels & { readonly products: Readonly<Record<string, number>> }) | null;
  readonly shape: CompiledModel['shape'];
  readonly weightsBytes: number;
  readonly weights: readonly WeightEntry[];
  readonly graphs: Readonly<Record<KvPrecision, ManifestGraphs>>;
  readonly sideLevels: ManifestSideLevels | null;
}

/** null: there is none that can be read. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    return JSON.parse(await readFile(join(folder, MANIFEST_FILE), 'utf8')) as Manifest;
  } catch {
    return null;
  }
}

/** Returns when it is on disk. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const file = await open(join(folder, MANIFEST_FILE), 'w');
  try {
    await file.writeFile(JSON.stringify(manifest));
    await file.sync();
  } finally {
    await file.close();
  }
}
