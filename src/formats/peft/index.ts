// The part of this folder that other rooms use.
export { parseAdapterConfig, type PeftLoraConfig } from './config.ts';
export { isSavedModule, requireTensorsMatchConfig, tokenIdsOf } from './consistency.ts';
export { resolveScale } from './scale.ts';
export { groupLoraTensors, type LoraTensors, type ModuleTensors } from './tensor-names.ts';
