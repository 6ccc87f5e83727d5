export { connectToParent } from './channel.ts';
export { hugePages } from './native-memory.ts';
export { runToEnd } from './run-to-end.ts';
export { Supervisor } from './supervisor.ts';
