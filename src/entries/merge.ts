// The process of one merge: reads base weights and a packed adapter, writes the merged form, answers, and ends. Serves nobody.
import { readFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { decodePacked, mergedTensors, type PackedAdapter } from '../adapters/packed.ts';
import { AppError, describeError, isAppError } from '../core/index.ts';
import { makeMergedForm, openModelPackage } from '../models/index.ts';
import { connectToParent } from '../processes/index.ts';
import type { FromMerging, MergingOptions } from './merger.ts';

/** Gives way to the engine, but gets a quarter of a core that it keeps busy: at 15, a merge beside eight rows was not done in two minutes. */
const NICENESS = 5;

async function readPacked(path: string): Promise<PackedAdapter> {
  try {
    const file = await readFile(path);
    // Arrays are read in place, so the file must start on a boundary of its own buffer.
    return decodePacked(file.byteOffset % 4 === 0 ? file : new Uint8Array(file));
  } catch (cause) {
    throw new AppError('generation_failed', 'its packed file is missing or damaged; upload it again', { cause });
  }
}

async function merge({ modelFolder, packedPath, precision, kvPrecision, folder }: MergingOptions): Promise<void> {
  const model = await openModelPackage(modelFolder);
  const adapter = await readPacked(packedPath);
  if (adapter.header.baseDigest !== model.record.digest)
    throw new AppError('unsupported_adapter', `it was uploaded for another base model than ${model.record.id}`);
  await makeMergedForm(model, { precision, kv: kvPrecision, merges: mergedTensors(adapter, model.description.sites) }, folder);
}

async function main(): Promise<void> {
  const parent = connectToParent<never, FromMerging>();
  setPriority(NICENESS);
  try {
    await merge(JSON.parse(process.argv[2] ?? '{}') as MergingOptions);
    parent.send({ kind: 'done' });
  } catch (error) {
    parent.send({ kind: 'failed', isForUsers: isAppError(error), message: describeError(error) });
    process.exitCode = 1;
  }
  parent.close();
}

await main();
