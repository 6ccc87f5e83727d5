export { openAdapterRegistry, type AdapterRegistryParts } from './registry.ts';
export { publishSamples } from './samples.ts';
export type * from './port.ts';
