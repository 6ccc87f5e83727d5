// `lorikeet train start`: uploads rows and makes a job of them.
import { Command } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { addHyperparameters, hyperparametersOf, type HyperparameterOptions } from './hyperparameter-options.ts';
import { uploadRows } from './rows-file.ts';
import { watchJob } from './watch.ts';
import { baseModel, JOBS_PATH, readJob } from './wire.ts';

interface StartOptions extends ServerOptions, OutputOptions, HyperparameterOptions {
  readonly name?: string;
  readonly model?: string;
  readonly validation?: string;
  readonly seed?: string;
  readonly watch?: boolean;
}

export function trainStartCommand(context: CommandContext): Command {
  const command = new Command('start')
    .description('train an adapter on a file of rows; it is served under its name when the job is done')
    .argument('<file>', 'JSON lines {"messages"}, {"prompt", "completion"} or {"text"}, or the id of an uploaded file')
    .option('--name <adapter>', 'name of the adapter (default: made from the job)')
    .option('--model <model>', 'the base (default), or an adapter to continue from')
    .option('--validation <file>', 'rows to measure the loss on, or the id of an uploaded file')
    .option('--seed <number>', 'for the same result again')
    .option('--watch', 'follow the job to its end');
  addHyperparameters(command);
  addExamples(addServer(command), [
    ['train start rows.jsonl --name my-adapter --watch', 'with the default settings'],
    ['train start rows.jsonl --name my-adapter --rank 16 --targets all-linear --max-steps 200', 'a larger adapter, 200 steps'],
    [
      'train start more.jsonl --model my-adapter --name my-adapter --set lora.loraplus_lr_ratio=16',
      'a new version, continued from the active one',
    ],
  ]);
  return command.action(async (file: string, options: StartOptions) => {
    const client = serverClient(context, options);
    const hyperparameters = hyperparametersOf(options);
    const body = {
      model: options.model ?? (await baseModel(client)),
      training_file: await uploadRows(client, file),
      ...(options.validation !== undefined && { validation_file: await uploadRows(client, options.validation) }),
      ...(options.name !== undefined && { suffix: options.name }),
      ...(options.seed !== undefined && { seed: Number(options.seed) }),
      method: { type: 'supervised', supervised: { hyperparameters } },
    };
    const answer = await client.json(JOBS_PATH, { method: 'POST', body });
    const { id, name } = readJob(answer);
    if (options.watch !== true) {
      print(context, options, answer, () => [`job ${id} makes ${name}; follow it with "lorikeet train watch ${name}"`]);
      return;
    }
    if (options.json !== true) context.notes.write(`job ${id} makes ${name}; it goes on when you stop watching\n`);
    await watchJob(context, options, client, id);
  });
}
