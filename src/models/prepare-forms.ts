// Everything that serving some forms of a base needs on disk: the compiled forms, and before those made from it the calibration.
import { readCalibration } from './calibration/calibration.ts';
import { ensureCompiled } from './compile-model.ts';
import type { Precision } from './compiled-model.ts';
import type { ModelPackage } from './model-package.ts';
import { rowKernels } from './row-wise/row-wise-groups.ts';
import { type ServingForms, thisMachine } from './serving-forms.ts';

/**
 * Calibrates the model of a package folder outside of this process, which may not load ONNX Runtime, and stores the result there.
 * Progress is in tokens. @throws AppError that says why it failed.
 */
export type Calibrator = (modelFolder: string, onProgress?: (done: number, total: number) => void) => Promise<void>;

export interface PrepareProgress {
  readonly stage: 'calibrate' | 'compile';
  readonly done: number;
  readonly total: number;
}

export interface PrepareOptions {
  readonly calibrate: Calibrator;
  readonly onProgress?: (progress: PrepareProgress) => void;
}

/** Makes what is missing or stale; a second call finds everything in place. */
export async function prepareForms(model: ModelPackage, forms: ServingForms, { calibrate, onProgress }: PrepareOptions): Promise<void> {
  const reportStage = (stage: PrepareProgress['stage']) => (done: number, total: number) => onProgress?.({ stage, done, total });
  const compile = (precision: Precision) => ensureCompiled(model, precision, reportStage('compile'));
  const precisions = [forms.decode, forms.second].filter((precision) => precision !== null);
  // Calibrating reads the weights of a float32 form where there is one.
  if (precisions.includes('fp32')) await compile('fp32');
  const needsLevels = precisions.includes('w8a8');
  const needsCalibration = forms.kv === 'int8' || needsLevels;
  if (needsCalibration && !(await isCalibrated(model, needsLevels))) await calibrate(model.folder, reportStage('calibrate'));
  for (const precision of precisions) await compile(precision);
}

/** A cache's scales are the same for all processors, what w8a8 may multiply row by row is not. */
async function isCalibrated(model: ModelPackage, needsLevels: boolean): Promise<boolean> {
  const calibration = await readCalibration(model.folder, model.record.digest);
  return calibration !== null && (!needsLevels || calibration.levels === rowKernels(thisMachine()).levels);
}
