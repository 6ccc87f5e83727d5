// Weights that the trainer reads of a compiled form, where serving holds others.
import { compileTraining } from '../architectures/index.ts';
import { type StoredWeight, storedWeights } from '../graph/index.ts';
import type { Precision } from './compiled-model.ts';
import type { ModelPackage } from './model-package.ts';

/** Of the forms that a base is trained over. Most are those of serving: a weights file holds each once. */
export function trainingWeights(config: ModelPackage['config'], precision: Precision): readonly StoredWeight[] {
  if (precision !== 'fp32' && precision !== 'int8') return [];
  const { maxContext } = config;
  return storedWeights(compileTraining(config, { basePrecision: precision, maxContext, headRows: null, sharesTokens: false }).graph);
}
