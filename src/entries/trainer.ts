// The trainer process: one job at a time, behind serving on the same cores. Opens no socket, touches no database, sees no key.
import { setPriority } from 'node:os';
import { pino } from 'pino';
import type { FromTrainer, ToTrainer } from '../training/index.ts';
import { hostTrainer, machine } from '../training/trainer/index.ts';
import { connectToParent } from '../processes/index.ts';

/** What the trainer process is started with; a JSON value on its command line, which may be left out. */
interface TrainerOptions {
  readonly logLevel?: string;
  /** Path of another ONNX Runtime library. */
  readonly ortLibrary?: string;
}

/** Below everything that serves: training takes the time that is left. */
const NICENESS = 10;

function main(): void {
  const parent = connectToParent<ToTrainer, FromTrainer>();
  const { logLevel = 'info', ortLibrary } = JSON.parse(process.argv[2] ?? '{}') as TrainerOptions;
  const logger = pino({ name: 'trainer', level: logLevel }, pino.destination(2));
  setPriority(NICENESS);
  hostTrainer(parent, machine(ortLibrary === undefined ? {} : { libraryPath: ortLibrary }), { logger, onShutdown: () => parent.close() });
}

main();
