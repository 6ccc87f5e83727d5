export { processContext } from './context.ts';
export { runCommandLine } from './program.ts';
