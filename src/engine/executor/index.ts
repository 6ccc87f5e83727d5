export { MergedForms } from './merged-forms.ts';
export { createOrtExecutor, type OrtExecutorOptions } from './ort-executor.ts';
export { createPackedSource } from './packed-source.ts';
export { leastTokensOfSecond } from './session-table.ts';
