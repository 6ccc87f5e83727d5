export { connectToParent } from './channel.ts';
export { runToEnd } from './run-to-end.ts';
export { Supervisor } from './supervisor.ts';
