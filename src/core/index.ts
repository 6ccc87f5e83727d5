export * from './errors.ts';
export * from './ids.ts';
export * from './machine-memory.ts';
export * from './philox.ts';
export * from './ports.ts';
export * from './processor.ts';
export * from './thread-script.ts';
