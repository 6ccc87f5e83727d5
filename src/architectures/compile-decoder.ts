// From a config to the graph that ONNX Runtime runs: build, then one flat list of passes.
import {
  eliminateDeadCode,
  fuseProjections,
  fuseSkipNorms,
  type Graph,
  injectLora,
  type LoraGroup,
  packAttention,
  type Pass,
  type PassReport,
  quantiseLinears,
  runPasses,
} from '../graph/index.ts';
import { buildLlama } from './llama/build.ts';
import type { LlamaConfig } from './llama/config.ts';

export type Precision = 'fp32' | 'int8' | 'int4';
/** none: no trace of adapters. linear: A and B of the layers' linears. full: also gain, bias, embedding and head. */
export type LoraSupport = 'none' | 'linear' | 'full';

export interface CompileOptions {
  readonly precision: Precision;
  readonly lora: LoraSupport;
  /** Positions of one sequence; at most the config's. */
  readonly maxContext: number;
}

export interface CompiledDecoder {
  readonly graph: Graph;
  /** Adapter inputs, in the order of evaluation. */
  readonly loraGroups: readonly LoraGroup[];
  readonly reports: readonly PassReport[];
}

/** @throws AppError `usage` when `maxContext` is beyond the model's. */
export function compileDecoder(config: LlamaConfig, { precision, lora, maxContext }: CompileOptions): CompiledDecoder {
  const graph = buildLlama(config, { maxContext });
  const reports = runPasses(graph, passList(precision, lora));
  return { graph, loraGroups: reports.flatMap(({ loraGroups = [] }) => loraGroups), reports };
}

function passList(precision: Precision, lora: LoraSupport): readonly Pass[] {
  return [
    fuseProjections,
    packAttention,
    fuseSkipNorms,
    ...(lora === 'none' ? [] : [injectLora(lora)]),
    ...(precision === 'fp32' ? [] : [quantiseLinears(precision === 'int8' ? 8 : 4)]),
    eliminateDeadCode,
  ];
}
