// `lorikeet adapters inspect`: what an adapter does to each matrix of its base.
import { Command } from 'commander';
import { asRecord, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { formatBytes, type OutputOptions, print, table } from '../output.ts';
import { adapterPath, cell } from './wire.ts';

export function adaptersInspectCommand(context: CommandContext): Command {
  const command = new Command('inspect')
    .description('show norms, effective rank and amplified directions of an adapter, a matrix at a time')
    .argument('<name>', 'adapter, or adapter@version');
  addExamples(addServer(command), [
    ['adapters inspect my-adapter', 'a line for each matrix that it changes'],
    ['adapters inspect my-adapter@3 --json', 'with all singular values'],
  ]);
  return command.action(async (name: string, options: ServerOptions & OutputOptions) => {
    const body = asRecord(await serverClient(context, options).json(`${adapterPath(name)}/inspect`));
    print(context, options, body, () => describe(body));
  });
}

function describe({ adapter, rank, bytes, parameters, sites }: Readonly<Record<string, unknown>>): string[] {
  const rows = (Array.isArray(sites) ? sites : []).map(asRecord);
  const largest = Math.max(...rows.map((row) => numberOf(row, 'relative_norm')));
  const header = ['matrix', 'rank', '|dW|', '|dW|/|W|', '', 'effective', '90 %', 'amplifies'];
  const lines = rows.map((row) => [
    cell(row['site']),
    cell(row['rank']),
    numberOf(row, 'delta_norm').toPrecision(3),
    `${(100 * numberOf(row, 'relative_norm')).toFixed(2)} %`,
    bar(numberOf(row, 'relative_norm') / largest),
    numberOf(row, 'effective_rank').toFixed(1),
    cell(row['rank_90']),
    row['amplification'] === null ? '-' : `${numberOf(row, 'amplification').toFixed(2)} x`,
  ]);
  return [
    `${cell(adapter)}: rank ${cell(rank)}, ${cell(parameters)} trained values, ${typeof bytes === 'number' ? formatBytes(bytes) : '-'} packed`,
    '',
    ...table(header, lines),
    '',
    'effective: exp of the entropy of the singular values of dW; 90 %: directions that hold nine tenths of its squared norm;',
    'amplifies: |dW| over the norm of what W already has in the same directions.',
  ];
}

function numberOf(row: Readonly<Record<string, unknown>>, field: string): number {
  const value = row[field];
  return typeof value === 'number' ? value : 0;
}

const BAR_WIDTH = 12;

function bar(share: number): string {
  return '█'.repeat(Number.isFinite(share) ? Math.round(share * BAR_WIDTH) : 0);
}
