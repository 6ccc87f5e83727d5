export { openMemoryStorage } from './memory-storage.ts';
export { openStorage } from './sqlite-storage.ts';
export type * from './ports.ts';
export * from './training-ports.ts';
