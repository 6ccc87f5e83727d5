// The trainer process's half of training: loads ONNX Runtime, never sees the database.
export { hostTrainer } from './host.ts';
export { machine } from './machine.ts';
export type { FromTrainer, ToTrainer } from '../messages.ts';
