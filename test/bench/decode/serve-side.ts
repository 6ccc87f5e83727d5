// The child's half of the protocol: opens a side, then measures one workload at a time.
import { describeError } from '../../../src/core/index.ts';
import type { FromSide, SideOptions, ToSide, Workload } from './protocol.ts';

export interface Measurement {
  readonly tokensPerSecond: number;
  readonly firstRowTokenIds: readonly number[];
}

export interface Side {
  measure(workload: Workload): Promise<Measurement>;
}

/** Options come as JSON on the command line. The process ends when its parent lets go of the channel. */
export async function serveSide(open: (options: SideOptions) => Promise<Side>): Promise<void> {
  const send = (message: FromSide): void => void process.send?.(message);
  try {
    const side = await open(JSON.parse(process.argv[2] ?? '{}') as SideOptions);
    process.on('message', ({ workload }: ToSide) => {
      side.measure(workload).then(
        (measurement) => send({ kind: 'measured', ...measurement }),
        (error: unknown) => send({ kind: 'failed', message: describeError(error) }),
      );
    });
    // Native threads of the peer would otherwise keep the process.
    process.on('disconnect', () => process.exit(0));
    send({ kind: 'ready' });
  } catch (error) {
    send({ kind: 'failed', message: describeError(error) });
  }
}
