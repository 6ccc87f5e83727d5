// What the calibrating process runs. Everyone else meets calibrations through src/models/index.ts.
export { calibrate, type CalibrateOptions } from './calibrate.ts';
