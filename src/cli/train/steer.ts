// `lorikeet train cancel`, `pause` and `resume`.
import { Command } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { findJob, jobPath, readJob } from './wire.ts';

export type Steering = 'cancel' | 'pause' | 'resume';

const MEANINGS: Readonly<Record<Steering, string>> = {
  cancel: 'end a job without a result',
  pause: 'pause a job, after its present step when it runs',
  resume: 'let a paused job go on from where it was',
};

export function trainSteerCommand(context: CommandContext, verb: Steering): Command {
  const command = new Command(verb)
    .description(MEANINGS[verb])
    .argument('<job>', 'id of a job, or the name of the adapter that the newest one makes');
  addExamples(addServer(command), [[`train ${verb} my-adapter`, MEANINGS[verb]]]);
  return command.action(async (idOrName: string, options: ServerOptions & OutputOptions) => {
    const client = serverClient(context, options);
    const { id } = await findJob(client, idOrName);
    const answer = await client.json(jobPath(id, `/${verb}`), { method: 'POST' });
    print(context, options, answer, () => {
      const { name, status } = readJob(answer);
      return [`job ${id} of ${name} is ${verb === 'pause' && status === 'running' ? 'pausing after its present step' : status}`];
    });
  });
}
