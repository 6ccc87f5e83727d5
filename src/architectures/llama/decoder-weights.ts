// Where a decoder's weights come from: the checkpoint, under the name that says whose they are, the base's or an adapter's merged ones.
import { checkpoint, type Emitter, type Value, type WeightRecipe } from '../../graph/index.ts';
import { changedTensor } from './checkpoint.ts';
import type { LlamaConfig } from './config.ts';
import { EMBEDDING_MODULE, HEAD_MODULE } from './linears.ts';

export interface DecoderWeights {
  readonly changed: ReadonlySet<string>;
  read(tensor: string, shape: readonly number[]): WeightRecipe;
}

/**
 * `changed`: tensors of the checkpoint that an adapter changed, and biases or an own head that only it has. They are read under another name
 * (`changedTensor`), so nothing made from them is taken for the base's.
 */
export function decoderWeights(changed: ReadonlySet<string> = new Set()): DecoderWeights {
  return { changed, read: (tensor, shape) => checkpoint(changed.has(tensor) ? changedTensor(tensor) : tensor, shape) };
}

/** [vocabulary, hidden]. A tied head whose embedding alone was changed still reads the base's embedding. */
export function headWeight({ tiedHead, vocabularySize, hiddenSize }: LlamaConfig, weights: DecoderWeights): WeightRecipe {
  const own = `${HEAD_MODULE}.weight`;
  const shape = [vocabularySize, hiddenSize];
  return tiedHead && !weights.changed.has(own) ? checkpoint(`${EMBEDDING_MODULE}.weight`, shape) : weights.read(own, shape);
}

export function addBias(emitter: Emitter, weights: DecoderWeights, module: string, product: Value, outFeatures: number): Value {
  return emitter.emit('Add', [product, emitter.graph.initializer(weights.read(`${module}.bias`, [outFeatures]))]);
}
