// Where base models come from: the built-in catalogue, the hub, a Python package. Entered through models/index.ts.
export { type PulledModel, type PullOptions, type PullProgress, pullModel } from './pull-model.ts';
