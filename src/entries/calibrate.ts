// The calibrating process: measures one base model's activations, stores them in its package, and ends. Serves nobody.
import { describeError } from '../core/index.ts';
import { openModelPackage } from '../models/index.ts';
import { calibrate } from '../models/calibration/index.ts';
import { connectToParent } from '../processes/index.ts';
import type { CalibratingOptions, FromCalibrating } from './calibrator.ts';

async function main(): Promise<void> {
  const parent = connectToParent<never, FromCalibrating>();
  try {
    const { modelFolder, ...options } = JSON.parse(process.argv[2] ?? '{}') as CalibratingOptions;
    const model = await openModelPackage(modelFolder);
    await calibrate(model, { ...options, onProgress: (done, total) => parent.send({ kind: 'progress', done, total }) });
    parent.send({ kind: 'done' });
  } catch (error) {
    parent.send({ kind: 'failed', message: describeError(error) });
    process.exitCode = 1;
  }
  parent.close();
}

await main();
