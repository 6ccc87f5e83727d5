export {
  differentiate,
  type Differentiated,
  type DifferentiateOptions,
  type Inverse,
  type Inverses,
  type KeptValue,
  keptValues,
  recompute,
  scheduleBackward,
  valueBytes,
} from './autodiff/index.ts';
export { type Attribute, type Attributes, float, int, ints } from './ir/attributes.ts';
export { rotateBlocks } from './ir/hadamard.ts';
export { Graph, type Node, type ProjectionSite, type SitePart, type Value } from './ir/graph.ts';
export {
  type BlockSize,
  type RotationSize,
  checkpoint,
  constant,
  constantBytes,
  type ConstantValues,
  type QuantisedPart,
  recipeKey,
  recipeShape,
  recipeTensors,
  type RowLevels,
  type RowPart,
  SMALLEST_BLOCK,
  someRows,
  transpose,
  type WeightRecipe,
} from './ir/recipe.ts';
export { type Dim, ELEMENT_BYTES, elementCount, type ElementType, type Shape, type TensorType } from './ir/tensor-type.ts';
export { addPartSizes, ofRows } from './ops/call-parts.ts';
export { type Emitter, type EmitOptions, emitterAtEnd } from './ops/emitter.ts';
export { dequantiseWeights, rowNumbers } from './passes/dequantise-weights.ts';
export { eliminateDeadCode } from './passes/eliminate-dead-code.ts';
export { expandLogSumExp } from './passes/expand-log-sum-exp.ts';
export { feedWeights } from './passes/feed-weights.ts';
export { fuseProjections } from './passes/fuse-projections.ts';
export { fuseSilu } from './passes/fuse-silu.ts';
export { fuseSkipNorms } from './passes/fuse-skip-norms.ts';
export { injectLora, type LoraProfile } from './passes/inject-lora.ts';
export type { LoraGroup, SideLevels } from './passes/lora-group.ts';
export { observeInputs } from './passes/observe-inputs.ts';
export { packAttention } from './passes/pack-attention.ts';
export { partAttention } from './passes/part-attention.ts';
export { type Pass, type PassReport, type PassResult, runPasses } from './passes/pass.ts';
export { quantiseKvCache } from './passes/quantise-kv-cache.ts';
export { type BlockForm, quantiseLinears } from './passes/quantise-linears.ts';
export { quantiseRows, type RowProduct, type RowProducts } from './passes/quantise-rows.ts';
export { type LevelStack, sideBlockSize, sideLevelsGraph } from './passes/side-levels.ts';
export { smoothInputs } from './passes/smooth-inputs.ts';
export type { DropoutInputs, SiteInputs, TrainedSiteSpec } from './passes/trained-site.ts';
export { trainSites, type TrainedSites, type TrainSitesOptions } from './passes/train-sites.ts';
export { type RowTrial, tryRows } from './passes/try-rows.ts';
export { stackSideInputs } from './passes/stack-side-inputs.ts';
export { type StoredWeight, storedWeights, toOnnx, type WeightLocator } from './serde.ts';
