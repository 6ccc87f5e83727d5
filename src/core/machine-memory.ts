// How much memory this process may count on: the machine's, or less where a container has a limit.
import { totalmem } from 'node:os';

/** In bytes. `limit`: of the container, as Node tells it; 0 or an absurdly large number where there is none. */
export function machineMemory(installed = totalmem(), limit = process.constrainedMemory()): number {
  return limit > 0 ? Math.min(installed, limit) : installed;
}
