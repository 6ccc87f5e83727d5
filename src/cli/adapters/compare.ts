// `lorikeet adapters compare`: how much of what two adapters change lies in the same directions.
import { writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { asRecord, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print, table } from '../output.ts';
import { adapterPath, cell } from './wire.ts';

interface CompareOptions extends ServerOptions, OutputOptions {
  readonly side: 'input' | 'output';
  readonly svg?: string;
}

/** Numbers of directions that the table shows. */
const SHOWN = [1, 2, 4, 8, 16, 32, 64];

export function adaptersCompareCommand(context: CommandContext): Command {
  const command = new Command('compare')
    .description('show the subspace similarity phi(i, j) of two adapters (LoRA paper, section 7.2)')
    .argument('<first>', 'adapter, or adapter@version')
    .argument('<second>', 'adapter, or adapter@version')
    .addOption(new Option('--side <side>', 'directions that are read or written').choices(['input', 'output']).default('input'))
    .option('--svg <file>', 'also write a heat map');
  addExamples(addServer(command), [
    ['adapters compare x y', 'phi for equal numbers of directions, mean over layers'],
    ['adapters compare x@1 x@2 --svg phi.svg', 'with a heat map of all i and j'],
  ]);
  return command.action(async (first: string, second: string, options: CompareOptions) => {
    const client = serverClient(context, options);
    const path = `${adapterPath(first)}/compare/${encodeURIComponent(second)}?side=${options.side}`;
    const body = asRecord(await client.json(path));
    if (options.svg !== undefined) {
      const picture = await client.response(`${path}&format=svg`, { headers: { accept: 'image/svg+xml, application/json' } });
      await writeFile(options.svg, await picture.text());
    }
    print(context, options, body, () => [
      ...describe(body),
      ...(options.svg === undefined ? [] : ['', `the heat map is in ${options.svg}`]),
    ]);
  });
}

function describe({
  adapters,
  side,
  modules,
  only_first: onlyFirst,
  only_second: onlySecond,
}: Readonly<Record<string, unknown>>): string[] {
  const rows = (Array.isArray(modules) ? modules : [])
    .map(asRecord)
    .map(({ site, phi }) => ({ site: cell(site), diagonal: diagonalOf(phi) }));
  const longest = Math.max(0, ...rows.map(({ diagonal }) => diagonal.length));
  const shown = SHOWN.filter((count) => count <= longest);
  const lines = rows.map(({ site, diagonal }) => [site, ...shown.map((count) => diagonal[count - 1]?.toFixed(3) ?? '-')]);
  const alone = [onlyFirst, onlySecond].map((sites) => (Array.isArray(sites) ? sites.length : 0));
  return [
    `${side === 'output' ? 'output' : 'input'} directions that ${cell(adapters).replace(' ', ' and ')} share: phi(i, i), mean over layers`,
    '',
    ...table(['module', ...shown.map((count) => `i = ${count}`)], lines),
    '',
    `1: the same span; 0: none in common. Matrices that only one of them changes: ${alone.join(' and ')}.`,
  ];
}

function diagonalOf(phi: unknown): readonly number[] {
  const rows = Array.isArray(phi) ? phi : [];
  return rows.flatMap((row: unknown, index) => {
    const value: unknown = Array.isArray(row) ? row[index] : undefined;
    return typeof value === 'number' ? [value] : [];
  });
}
