// A GGUF file as a checkpoint: names mapped back to Hugging Face's, and the row order of q and k undone.
import { llamaCheckpointTensors, type LlamaConfig, unpermuteRows } from '../architectures/index.ts';
import { openGguf } from '../formats/index.ts';
import type { Checkpoint } from './checkpoint.ts';

export async function openGgufCheckpoint(path: string, config: LlamaConfig): Promise<Checkpoint> {
  const file = await openGguf(path);
  const tensors = new Map(llamaCheckpointTensors(config).map((tensor) => [tensor.name, tensor]));
  const infoOf = (name: string) => file.tensors.get(tensors.get(name)?.ggufName ?? '');
  return {
    has: (name) => infoOf(name) !== undefined,
    read: async (name) => {
      const info = infoOf(name);
      if (!info) throw new Error('the GGUF file has no such tensor');
      const values = await file.readFloat32(info.name);
      const heads = tensors.get(name)?.permutedHeads ?? null;
      return { shape: info.shape, values: heads === null ? values : unpermuteRows(values, info.shape[0] ?? 0, heads) };
    },
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}
