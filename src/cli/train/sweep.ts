// `lorikeet train sweep`: a grid of jobs on one data set, compared in a table and a picture.
import { writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { AppError } from '../../core/index.ts';
import { serverClient, type ServerClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print, table } from '../output.ts';
import { adapterPath } from '../adapters/wire.ts';
import { followJob } from './follow.ts';
import { uploadRows } from './rows-file.ts';
import { type SweepRow, sweepChart } from './sweep-chart.ts';
import { loraOf, METHODS, pointName, type SweepOptions, type SweepPoint, STUDIES, sweepPoints } from './sweep-grid.ts';
import { readTestRows, testBleu, type TestRow } from './test-bleu.ts';
import { baseModel, JOBS_PATH, readJob } from './wire.ts';

interface Options extends ServerOptions, OutputOptions, SweepOptions {
  readonly name: string;
  readonly validation?: string;
  readonly test?: string;
  readonly testRows: string;
  readonly maxSteps: string;
  readonly batchSize: string;
  readonly learningRate?: string;
  readonly seed: string;
  readonly svg?: string;
  readonly keep?: boolean;
}

/** What every job of the sweep shares. */
interface Study {
  readonly client: ServerClient;
  readonly request: Readonly<Record<string, unknown>>;
  readonly hyperparameters: Readonly<Record<string, unknown>>;
  readonly testRows: readonly TestRow[];
  readonly note: (text: string) => void;
}

export function trainSweepCommand(context: CommandContext): Command {
  const command = new Command('sweep')
    .description('train a grid of adapters on the same rows, one after another, and compare loss, NLL, BLEU, size and time')
    .argument('<file>', 'rows to train on, or the id of an uploaded file')
    .addOption(new Option('--study <study>', 'a grid that is ready').choices([...STUDIES]))
    .option('--ranks <list>', 'ranks, such as 1,2,4,8')
    .option('--targets <sets>', 'sets of matrices, apart by ";", each with a rank of its own if need be: "q_proj@16;q_proj,v_proj@8"')
    .option('--methods <list>', `some of ${METHODS.join(',')}`)
    .option('--ratios <list>', 'learning rates of B over that of A')
    .option('--max-steps <count>', 'optimizer steps of each job', '60')
    .option('--batch-size <rows>', 'rows of a step', '8')
    .option('--learning-rate <rate>', 'largest learning rate of each job')
    .option('--seed <number>', 'of each job', '1')
    .option('--validation <file>', 'rows for the NLL, or the id of an uploaded file')
    .option('--test <file>', 'JSON lines {"prompt", "references"} for BLEU (greedy, 60 tokens)')
    .option('--test-rows <count>', 'how many of them', '100')
    .option('--name <prefix>', 'adapters are called <prefix>-1, <prefix>-2, …', 'sweep')
    .option('--keep', 'keep the adapters; else each is removed when it is measured')
    .option('--svg <file>', 'also write a picture');
  addExamples(addServer(command), [
    ['train sweep train.jsonl --validation valid.jsonl --test test.jsonl --study ranks --svg ranks.svg', 'rank 1, 2, 4, 8, 64'],
    ['train sweep train.jsonl --validation valid.jsonl --methods lora,dora --ranks 4,8', 'a grid of four'],
  ]);
  return command.action(async (file: string, options: Options) => {
    const client = serverClient(context, options);
    const points = sweepPoints(options);
    const testRows = options.test === undefined ? [] : await readTestRows(options.test, Number(options.testRows));
    const study: Study = {
      client,
      testRows,
      request: {
        model: await baseModel(client),
        training_file: await uploadRows(client, file),
        ...(options.validation !== undefined && { validation_file: await uploadRows(client, options.validation) }),
        seed: Number(options.seed),
      },
      hyperparameters: {
        max_steps: Number(options.maxSteps),
        batch_size: Number(options.batchSize),
        evaluation_steps: Number(options.maxSteps),
        ...(options.learningRate !== undefined && { learning_rate: Number(options.learningRate) }),
      },
      note: (text) => context.notes.write(`${text}\n`),
    };
    const rows: SweepRow[] = [];
    for (const [index, point] of points.entries()) {
      study.note(`${index + 1} of ${points.length}: ${pointName(point)}`);
      const name = `${options.name}-${index + 1}`;
      rows.push(await measure(study, point, name));
      if (options.keep !== true) await client.json(adapterPath(name), { method: 'DELETE' });
      // Written after each job: a sweep takes long and may be broken off.
      if (options.svg !== undefined)
        await writeFile(options.svg, sweepChart(`${options.name}: ${options.maxSteps} steps of ${options.batchSize} rows`, rows));
    }
    print(context, options, rows, sweepTable);
  });
}

async function measure({ client, request, hyperparameters, testRows }: Study, point: SweepPoint, name: string): Promise<SweepRow> {
  const supervised = { hyperparameters: { ...hyperparameters, lora: loraOf(point) } };
  const body = { ...request, suffix: name, method: { type: 'supervised', supervised } };
  const { id } = readJob(await client.json(JOBS_PATH, { method: 'POST', body }));
  let startedAtMs: number | null = null;
  let nll: number | null = null;
  const job = await followJob(client, id, ({ step, message }) => {
    if (message.startsWith('training ')) startedAtMs = performance.now();
    nll = step?.validLoss ?? nll;
  });
  if (job.result === null || job.status !== 'succeeded')
    throw new AppError('internal', `the job of ${pointName(point)} ended as ${job.status}: ${job.error ?? 'no reason was given'}`);
  const seconds = startedAtMs === null ? 0 : (performance.now() - startedAtMs) / 1000;
  const { trainableParameters, finalTrainLoss } = job.result;
  const bleu = testRows.length === 0 ? null : await testBleu(client, name, testRows);
  return { name: pointName(point), trainableParameters, finalTrainLoss, nll, bleu, seconds };
}

function sweepTable(rows: readonly SweepRow[]): string[] {
  const header = ['point', 'parameters', 'final loss', 'NLL', 'BLEU', 'seconds'];
  return table(
    header,
    rows.map(({ name, trainableParameters, finalTrainLoss, nll, bleu, seconds }) => [
      name,
      String(trainableParameters),
      finalTrainLoss.toFixed(4),
      nll?.toFixed(4) ?? '-',
      bleu?.toFixed(1) ?? '-',
      seconds.toFixed(0),
    ]),
  );
}
