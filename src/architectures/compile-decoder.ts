// From a config to the graph that ONNX Runtime runs: build, then one flat list of passes.
import {
  eliminateDeadCode,
  fuseProjections,
  fuseSkipNorms,
  type Graph,
  injectLora,
  type LoraGroup,
  packAttention,
  partAttention,
  type Pass,
  type PassReport,
  quantiseKvCache,
  quantiseLinears,
  quantiseRows,
  recipeTensors,
  type RowLevels,
  type RowProduct,
  runPasses,
  type SideLevels,
  smoothInputs,
} from '../graph/index.ts';
import { int8Blocks } from './even-inputs.ts';
import { buildLlama, type CallKind } from './llama/build.ts';
import { originalTensor } from './llama/checkpoint.ts';
import type { LlamaConfig } from './llama/config.ts';

export type Precision = 'fp32' | 'int8' | 'int4';
/** none: no trace of adapters. linear: A and B of the layers' linears. full: also gain, bias, embedding and head. */
export type LoraSupport = 'none' | 'linear' | 'full';

/** Groups that do not bear one product in integers: two, where the processor multiplies tiles of integers, or blocks. */
export type OtherGroups = 'two-products' | 'blocks';

/** Projection groups whose products are in integers with one scale a row, whatever the precision. */
export interface RowWise {
  readonly levels: RowLevels;
  /** What a group falls back to when an adapter changed its weights. */
  readonly others: OtherGroups;
  readonly groups: ReadonlyMap<string, RowWiseGroup>;
}

export interface RowWiseGroup extends RowProduct {
  /** How much every channel of the input is smoothed where a norm makes it, [inFeatures]; null: not. */
  readonly smoothing: Float32Array | null;
}

/** Needs no calibration, so it serves any weights. */
export const TWO_PRODUCTS: RowWiseGroup = { products: 2, rotation: null, range: null, smoothing: null };

export interface CompileOptions {
  readonly precision: Precision;
  readonly rowWise?: RowWise;
  readonly lora: LoraSupport;
  /** Of the cached keys and values; fp32 when absent. */
  readonly kv?: 'fp32' | 'int8';
  /** Positions of one sequence; at most the config's. */
  readonly maxContext: number;
  /** Tensors of the checkpoint that an adapter changed, as in `BuildOptions`. */
  readonly changed?: ReadonlySet<string>;
  /** As in `BuildOptions`. */
  readonly call?: CallKind;
  /** As in `BuildOptions`. */
  readonly lastLayer?: 'asked' | 'all';
  /** Of the groups that it changed: int8 blocks when absent, or `base`, the base's own, to measure what that swallows. */
  readonly changedPrecision?: 'int8' | 'base';
}

export interface CompiledDecoder {
  readonly graph: Graph;
  /** Adapter inputs, in the order of evaluation. */
  readonly loraGroups: readonly LoraGroup[];
  /** How A becomes levels, for the groups that take it so. */
  readonly sideLevels: readonly SideLevels[];
  readonly reports: readonly PassReport[];
}

/** @throws AppError `usage` when `maxContext` is beyond the model's. */
export function compileDecoder(config: LlamaConfig, options: CompileOptions): CompiledDecoder {
  const graph = buildLlama(config, options);
  const reports = runPasses(graph, passList(options, options.changedPrecision === 'base' ? new Set() : changedGroups(graph)));
  const sideLevels = reports.flatMap((report) => report.sideLevels ?? []);
  return {
    graph,
    loraGroups: withScales(
      reports.flatMap(({ loraGroups = [] }) => loraGroups),
      sideLevels,
    ),
    sideLevels,
    reports,
  };
}

function withScales(groups: readonly LoraGroup[], sideLevels: readonly SideLevels[]): readonly LoraGroup[] {
  const scales = new Map(sideLevels.map(({ id, scales: name }) => [id, name]));
  return groups.map((group) => {
    const name = scales.get(group.id);
    return name === undefined ? group : { ...group, inputs: { ...group.inputs, scales: name } };
  });
}

/** Projection groups that read a tensor that an adapter changed. */
function changedGroups(graph: Graph): ReadonlySet<string> {
  const changed = graph.nodes.filter(({ site, inputs }) =>
    inputs.some((value) => {
      const recipe = site && value && graph.recipe(value);
      return recipe && recipeTensors(recipe).some((tensor) => originalTensor(tensor) !== null);
    }),
  );
  return new Set(changed.flatMap(({ site }) => site?.group ?? []));
}

/**
 * Groups that an adapter changed take int8 blocks where the base's precision would swallow a small change or was calibrated for the weights
 * of the base: four bits, and integers with one product a row, smoothing with them. Two products need no calibration.
 */
function passList({ precision, rowWise, lora, kv = 'fp32', call }: CompileOptions, changed: ReadonlySet<string>): readonly Pass[] {
  const groups = rowWise ? rowWiseGroups(rowWise, changed) : [];
  const smoothing = groups.flatMap(([group, { smoothing: factors }]) => (factors ? [[group, factors] as const] : []));
  return [
    fuseProjections,
    packAttention,
    fuseSkipNorms,
    ...(lora === 'none' ? [] : [injectLora(lora)]),
    ...(call === 'mixed' ? [partAttention] : []),
    smoothInputs(new Map(smoothing)),
    ...(rowWise ? [quantiseRows(new Map(groups), rowWise.levels)] : []),
    ...(precision === 'fp32' ? [] : [quantiseLinears(precision === 'int8' ? 8 : 4, int8Blocks, changed)]),
    ...(kv === 'int8' ? [quantiseKvCache] : []),
    eliminateDeadCode,
  ];
}

function rowWiseGroups({ others, groups }: RowWise, changed: ReadonlySet<string>): readonly (readonly [string, RowWiseGroup])[] {
  return [...groups].flatMap(([group, how]) => {
    if (!changed.has(group)) return [[group, how] as const];
    return others === 'two-products' ? [[group, TWO_PRODUCTS] as const] : [];
  });
}
