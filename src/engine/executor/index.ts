export { MergedForms } from './merged-forms.ts';
export { createOrtExecutor, type OrtExecutorOptions, type OrtModelExecutor } from './ort-executor.ts';
export { createPackedSource } from './packed-source.ts';
