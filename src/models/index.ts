export { COMPILER_VERSION, ensureCompiled, openCompiled } from './compile-model.ts';
export { type CompiledGraph, type CompiledModel, type GraphProfile, type LoraInputGroup, type Precision, PRECISIONS } from './compiled-model.ts';
export type { AdapterSite, BaseModelDescription, BaseWeights, SiteKind } from './description.ts';
export { fileDigest, importModel, type ImportOptions, type ImportProgress } from './import-model.ts';
export { listModels, type ListedModel, type ModelPackage, openModelPackage } from './model-package.ts';
export { CATALOGUE, type CatalogueEntry, type PulledModel, type PullOptions, type PullProgress, pullModel } from './sources/index.ts';
