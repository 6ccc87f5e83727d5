export { type Calibration, readCalibration } from './calibration/calibration.ts';
export { ensureCompiled, openCompiled } from './compile-model.ts';
export {
  type CommonProfile,
  type CompiledGraph,
  type CompiledModel,
  type GraphProfile,
  type KvPrecision,
  type KvScales,
  type LevelStack,
  type LoraInputGroup,
  type Precision,
  type SideLevelsGraph,
} from './compiled-model.ts';
export { formsOf, type ServingForms, type WantedForms } from './serving-forms.ts';
export { llamaConfigToHuggingFace, permuteRows, unpermuteRows } from '../architectures/index.ts';
export type { AdapterSite, BaseModelDescription, BaseTensor, BaseWeights, SiteKind } from './description.ts';
export { ofRows } from '../graph/index.ts';
export { lineWeightsGraph } from './line-weights-graph.ts';
export { importModel, type ImportOptions, type ImportProgress } from './import-model.ts';
export { listModels, type ListedModel, type ModelPackage, openModelPackage } from './model-package.ts';
export { makeMergedForm, type MergedForm, openMergedForm, touchMergedForm } from './merged/merged-form.ts';
export { type Calibrator, type PrepareProgress, prepareForms } from './prepare-forms.ts';
export { type PulledModel, type PullOptions, type PullProgress, pullModel } from './sources/index.ts';
