// `lorikeet train list`.
import { Command } from 'commander';
import { listEntries } from '../adapters/wire.ts';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { formatTime, type OutputOptions, print, table } from '../output.ts';
import { JOBS_PATH, readJob, type WireJob } from './wire.ts';

export function trainListCommand(context: CommandContext): Command {
  const command = new Command('list').description('list the newest training jobs');
  addExamples(addServer(command), [
    ['train list', 'jobs with their progress'],
    ['train list --json', 'every field'],
  ]);
  return command.action(async (options: ServerOptions & OutputOptions) => {
    const body = await serverClient(context, options).json(`${JOBS_PATH}?limit=100`);
    const header = ['job', 'adapter', 'status', 'step', 'loss', 'created'];
    print(context, options, body, () => table(header, listEntries(body).map(readJob).map(jobRow)));
  });
}

function jobRow({ id, name, version, status, step, totalSteps, result, createdAt }: WireJob): string[] {
  const adapter = version === null ? name : `${name}@${version}`;
  const loss = result === null ? '-' : result.finalTrainLoss.toFixed(4);
  return [id, adapter, status, totalSteps === null ? '-' : `${step}/${totalSteps}`, loss, formatTime(createdAt * 1000)];
}
