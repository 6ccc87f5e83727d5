export { ensureCompiled, openCompiled } from './compile-model.ts';
export { type CompiledGraph, type CompiledModel, type GraphProfile, type LoraInputGroup, type Precision } from './compiled-model.ts';
export { formsOf, type ServingForms, type WantedForms } from './serving-forms.ts';
export type { AdapterSite, BaseModelDescription, BaseWeights, SiteKind } from './description.ts';
export { importModel, type ImportOptions, type ImportProgress } from './import-model.ts';
export { listModels, type ListedModel, type ModelPackage, openModelPackage } from './model-package.ts';
export { type PulledModel, type PullOptions, type PullProgress, pullModel } from './sources/index.ts';
