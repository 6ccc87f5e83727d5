// The weights of a base with an adapter merged in: tensors that the adapter changed under the names that its graph reads, all others as they are.
import { originalTensor } from '../../architectures/index.ts';
import { AppError } from '../../core/index.ts';
import type { Checkpoint, CheckpointTensor } from '../checkpoint.ts';
import type { ModelPackage } from '../model-package.ts';

/** From a tensor's values in the base, float32 and row-major, to a fresh array of those in the merged model. */
export type TensorMerge = (base: Float32Array) => Float32Array;

/** Takes ownership of `base`. Reading throws AppError `generation_failed` where a merge gives what is no finite number. */
export function mergedCheckpoint(base: Checkpoint, { description }: ModelPackage, merges: ReadonlyMap<string, TensorMerge>): Checkpoint {
  /** What the merge begins with where the base has no such tensor: a tied head is the embedding, a bias is zero. */
  async function original(name: string): Promise<CheckpointTensor> {
    if (base.has(name)) return await base.read(name);
    if (name === 'lm_head.weight' && description.tiedHead) return await base.read('model.embed_tokens.weight');
    const site = description.sites.find(({ module }) => `${module}.bias` === name);
    if (site === undefined) throw new Error(`merging: the base has no tensor ${name}`);
    return { shape: [site.outFeatures], values: new Float32Array(site.outFeatures) };
  }

  const read = async (name: string): Promise<CheckpointTensor> => {
    const changed = originalTensor(name);
    if (changed === null) return await base.read(name);
    const merge = merges.get(changed);
    if (!merge) throw new Error(`merging: the adapter does not change ${changed}`);
    const { shape, values } = await original(changed);
    const merged = merge(values);
    if (merged.length !== values.length)
      throw new Error(`merging: ${changed} has ${values.length} values, its merge gave ${merged.length}`);
    const wrong = merged.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0)
      throw new AppError('generation_failed', `value ${wrong} of its merged ${changed} is ${merged[wrong]}, expected a finite number`);
    return { shape, values: merged };
  };
  return {
    has: (name) => originalTensor(name) !== null || base.has(name),
    read,
    close: () => base.close(),
    [Symbol.asyncDispose]: () => base.close(),
  };
}
