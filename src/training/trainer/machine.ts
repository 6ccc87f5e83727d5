// What an attempt needs of the machine, for real: the imported base, sessions of ONNX Runtime, the system's clock.
import { systemClock } from '../../core/index.ts';
import { openModelPackage } from '../../models/index.ts';
import { createEnvironment } from '../../runtime/index.ts';
import { createTokenizer } from '../../text/index.ts';
import { rowTextOf } from '../rows/index.ts';
import { Products } from './algebra/products.ts';
import { createTrainingComputation, createWeightGradients } from './computation/index.ts';
import type { JobPorts, TrainedBase } from './job.ts';

export const machine: JobPorts = {
  openBase,
  openComputation: createTrainingComputation,
  openGradients: createWeightGradients,
  openProducts,
  clock: systemClock,
};

async function openBase(modelFolder: string): Promise<TrainedBase> {
  const model = await openModelPackage(modelFolder);
  const { description, tokenizer, chatTemplate, weights } = model;
  return {
    description,
    text: rowTextOf(createTokenizer(tokenizer), chatTemplate, description.stopTokenIds),
    weights,
    close: () => model.close(),
  };
}

/** Owns an environment of its own. */
function openProducts(threadCount: number): Products {
  const environment = createEnvironment({ threadCount, allowSpinning: false });
  return new Products(environment, () => environment.dispose());
}
