// A merged adapter of the default model as the engine holds it: made in this process, loaded into an executor.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import { mergedTensors, type PackedAdapter } from '../../../src/adapters/packed.ts';
import { type Digest, systemClock } from '../../../src/core/index.ts';
import { createOrtExecutor, MergedForms } from '../../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../../src/engine/index.ts';
import { makeMergedForm, type ModelPackage, type Precision } from '../../../src/models/index.ts';
import { openSubjectForms } from '../subject.ts';

/** Names the adapter within one executor; no file of that digest is read. */
export const MERGED = 'f'.repeat(64) as Digest;

export interface MergedSubject {
  readonly executor: ModelExecutor;
  /** Seconds that making its files took, and loading its session. */
  readonly makeSeconds: number;
  readonly loadSeconds: number;
}

export interface MergedNeeds {
  readonly precision: Precision;
  readonly adapter: PackedAdapter;
  readonly maxRows: number;
  readonly maxContext: number;
  readonly changedPrecision?: 'int8' | 'base';
}

export async function withMerged<Result>(
  model: ModelPackage,
  { precision, adapter, changedPrecision = 'int8', ...limits }: MergedNeeds,
  use: (subject: MergedSubject) => Result | Promise<Result>,
): Promise<Result> {
  const { decode } = await openSubjectForms(model, { precision, prefillPrecision: 'same' });
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-merged-'));
  const merges = mergedTensors(adapter, model.description.sites);
  const mergedForms = new MergedForms({
    folder,
    base: decode,
    make: async (_, target) => await makeMergedForm(model, { precision, kv: 'fp32', merges, changedPrecision }, target),
    isStored: () => Promise.resolve(true),
    keepCount: 1,
    clock: systemClock,
  });
  const executor = createOrtExecutor({ model: decode, mergedForms, threadCount: availableParallelism(), allowSpinning: true, ...limits });
  try {
    const makeSeconds = await secondsOf(executor.prepareMerged(MERGED));
    const loadSeconds = await secondsOf(executor.loadMerged(MERGED));
    return await use({ executor, makeSeconds, loadSeconds });
  } finally {
    executor.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function secondsOf(work: Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work;
  return (performance.now() - startMs) / 1000;
}
