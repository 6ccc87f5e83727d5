// From a config to the forward pass that training differentiates, in the form in which the base's weights are held.
import { dequantiseWeights, fuseProjections, fuseSilu, runPasses } from '../graph/index.ts';
import { int8BlockSize } from './even-inputs.ts';
import { buildLlamaTraining, type TrainingDecoder, type TrainingOptions } from './llama/build-training.ts';
import type { LlamaConfig } from './llama/config.ts';

export interface CompileTrainingOptions extends TrainingOptions {
  /** Of the frozen weights; arithmetic is float32. */
  readonly basePrecision: 'fp32' | 'int8';
}

/** Inputs and outputs as at `buildLlamaTraining`. int8 blocks are of W as it is: float32 products gain nothing by turned inputs. */
export function compileTraining(config: LlamaConfig, { basePrecision, ...options }: CompileTrainingOptions): TrainingDecoder {
  const decoder = buildLlamaTraining(config, options);
  runPasses(decoder.graph, [fuseProjections, fuseSilu, ...(basePrecision === 'int8' ? [dequantiseWeights(int8BlockSize)] : [])]);
  return decoder;
}
