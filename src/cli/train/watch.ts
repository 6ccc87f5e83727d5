// `lorikeet train watch`: the loss curve as it grows, on a terminal; a line an event anywhere else.
import { Command } from 'commander';
import { AppError } from '../../core/index.ts';
import { serverClient, type ServerClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { followJob } from './follow.ts';
import { lossGraph } from './loss-graph.ts';
import { findJob, jobPath, readJob, type WireEvent, type WireJob, type WireStep } from './wire.ts';

export type WatchOptions = ServerOptions & OutputOptions;

const GRAPH_ROWS = 10;
const DEFAULT_COLUMNS = 80;
/** Between two looks at progress and the estimated end; events redraw the curve at once. */
const LOOK_INTERVAL_MS = 2000;

export function trainWatchCommand(context: CommandContext): Command {
  const command = new Command('watch')
    .description('follow a job to its end: loss curve, progress and estimated finish')
    .argument('<job>', 'id of a job, or the name of the adapter that it makes');
  addExamples(addServer(command), [
    ['train watch my-adapter', 'the curve, redrawn as it grows'],
    ['train watch my-adapter | tee log', 'a line a step'],
    ['train watch my-adapter --json', 'the job as JSON, once it has ended'],
  ]);
  return command.action(async (idOrName: string, options: WatchOptions) => {
    const client = serverClient(context, options);
    const { id } = await findJob(client, idOrName);
    await watchJob(context, options, client, id);
  });
}

/** @throws AppError when the job fails or is cancelled, so that scripts see it. */
export async function watchJob(context: CommandContext, options: OutputOptions, client: ServerClient, id: string): Promise<void> {
  const shown = context.outputIsTerminal === true ? liveDisplay(context, client, id) : lineDisplay(context);
  const display = options.json === true ? null : shown;
  const job = await followJob(client, id, async (event) => display?.(event));
  if (options.json === true) print(context, options, await client.json(jobPath(id)), () => []);
  if (job.status === 'failed') throw new AppError('internal', `the job failed: ${job.error ?? 'no reason was given'}`);
  if (job.status === 'cancelled') throw new AppError('conflict', 'the job was cancelled');
  if (options.json !== true) context.output.write(`${job.name}@${job.version ?? '?'} is published; try it with the model "${job.name}"\n`);
}

type Display = (event: WireEvent) => Promise<void> | void;

function lineDisplay(context: CommandContext): Display {
  return ({ message, step }) => {
    const speed = step === null ? '' : `, ${step.tokensPerSecond.toFixed(0)} tokens/s`;
    context.output.write(`${message}${speed}\n`);
  };
}

function liveDisplay(context: CommandContext, client: ServerClient, id: string): Display {
  const steps: WireStep[] = [];
  let drawnLines = 0;
  let job: WireJob | null = null;
  let lookedAtMs = -LOOK_INTERVAL_MS;
  return async (event) => {
    if (event.step !== null) steps.push(event.step);
    if (performance.now() - lookedAtMs >= LOOK_INTERVAL_MS || event.step === null) {
      job = readJob(await client.json(jobPath(id)));
      lookedAtMs = performance.now();
    }
    const lines = picture(event, steps, job, context.outputColumns ?? DEFAULT_COLUMNS);
    const back = drawnLines === 0 ? '' : `\u001b[${drawnLines}A\u001b[J`;
    context.output.write(`${back}${lines.join('\n')}\n`);
    drawnLines = lines.length;
  };
}

/** What is on the screen: the curve, and below it how far the job is. */
function picture(event: WireEvent, steps: readonly WireStep[], job: WireJob | null, columns: number): string[] {
  const total = job?.totalSteps ?? steps.at(-1)?.step ?? 1;
  const graph = lossGraph(
    steps.map(({ step, trainLoss }) => [step, trainLoss] as const),
    total,
    { columns, rows: GRAPH_ROWS },
  );
  const last = steps.at(-1);
  const done =
    last === undefined
      ? ''
      : `${bar((last.step / total) * 100)} step ${last.step} of ${total}, ${last.tokensPerSecond.toFixed(0)} tokens/s`;
  const finish = job?.estimatedFinish === null || job === null ? '' : `, done at about ${clockTime(job.estimatedFinish)}`;
  return [...graph, ...(done === '' ? [] : [`${done}${finish}`.slice(0, columns)]), event.message.slice(0, columns)];
}

function bar(percent: number): string {
  const filled = Math.round(percent / 5);
  return `[${'='.repeat(filled)}${' '.repeat(20 - filled)}]`;
}

function clockTime(seconds: number): string {
  return new Date(seconds * 1000).toTimeString().slice(0, 8);
}
