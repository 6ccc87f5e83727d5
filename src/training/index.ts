// What other rooms of the front know of training. Its two halves have entries of their own: jobs/ and trainer/.
export { DEFAULT_LEARNING_RATE, type HyperparameterChoices } from './defaults.ts';
export { type Hyperparameters, LORA_INITS, type LoraInit, type LoraSpec } from './hyperparameters.ts';
export type { FromTrainer, ToTrainer } from './messages.ts';
export type * from './port.ts';
export { type RowText, rowTextOf } from './rows/index.ts';
