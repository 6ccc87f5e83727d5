export { connectToParent } from './channel.ts';
export { Supervisor } from './supervisor.ts';
