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
  quantiseKvCache,
  quantiseLinears,
  quantiseRows,
  runPasses,
  smoothInputs,
} from '../graph/index.ts';
import { buildLlama } from './llama/build.ts';
import type { LlamaConfig } from './llama/config.ts';

export type Precision = 'fp32' | 'int8' | 'int4';
/** none: no trace of adapters. linear: A and B of the layers' linears. full: also gain, bias, embedding and head. */
export type LoraSupport = 'none' | 'linear' | 'full';

/**
 * Projection groups whose products are in integers with one scale a row, whatever the precision. With each goes how much every channel of
 * its input is smoothed, [inFeatures], where a norm makes that input.
 */
export type RowWise = ReadonlyMap<string, Float32Array>;

export interface CompileOptions {
  readonly precision: Precision;
  readonly rowWise?: RowWise;
  readonly lora: LoraSupport;
  /** Of the cached keys and values; fp32 when absent. */
  readonly kv?: 'fp32' | 'int8';
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
export function compileDecoder(config: LlamaConfig, options: CompileOptions): CompiledDecoder {
  const graph = buildLlama(config, { maxContext: options.maxContext });
  const reports = runPasses(graph, passList(options));
  return { graph, loraGroups: reports.flatMap(({ loraGroups = [] }) => loraGroups), reports };
}

function passList({ precision, rowWise = new Map(), lora, kv = 'fp32' }: CompileOptions): readonly Pass[] {
  return [
    fuseProjections,
    packAttention,
    fuseSkipNorms,
    ...(lora === 'none' ? [] : [injectLora(lora)]),
    smoothInputs(rowWise),
    quantiseRows(new Set(rowWise.keys())),
    ...(precision === 'fp32' ? [] : [quantiseLinears(precision === 'int8' ? 8 : 4)]),
    ...(kv === 'int8' ? [quantiseKvCache] : []),
    eliminateDeadCode,
  ];
}
