// `lorikeet adapters merge`: several adapters as one new adapter, on the server or in a folder.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { mergeAdapters, type LoraPart, type MajoritySign, type MergedAdapters, type MergeOptions } from '../../adapters/index.ts';
import { AppError } from '../../core/index.ts';
import { openModelPackage } from '../../models/index.ts';
import { asRecord, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer, addSettingFlags, commandSettings } from '../options.ts';
import { type OutputOptions, print, table } from '../output.ts';
import { isFolder, PART_ARGUMENT, readParts } from './parts.ts';
import { adapterPath, cell } from './wire.ts';

interface MergeCommandOptions extends ServerOptions, OutputOptions {
  readonly out: string;
  readonly rank?: string;
  readonly strategy: 'sum' | 'linear' | 'ties' | 'dare_linear' | 'dare_ties';
  readonly density?: string;
  readonly majoritySign: MajoritySign;
  /** False with --no-activate. */
  readonly activate: boolean;
}

const EXPLANATION = `
Strategies:
  sum          W + sum of weight * (W' - W): exactly what a request for a*0.7,b*0.3 gets. Ranks add up; --rank makes them small again.
               Takes every kind of adapter but full weights; with DoRA the base's weights are read.
  linear, ties, dare_linear, dare_ties
               merge A with A and B with B as PEFT's add_weighted_adapter does (each weighted by the root of weight * scale). Cheap, and
               another result than the sum. Only plain LoRA of one rank. ties and dare_* need --density.

--rank keeps the strongest singular directions of every matrix; what is lost is printed as ||dW - dW'|| / ||dW||.
Quote parts, since "*" is the shell's: 'poet*0.7'.`;

export function adaptersMergeCommand(context: CommandContext): Command {
  const command = new Command('merge')
    .description('make one adapter of several, with weights, and publish it or write it to a folder')
    .argument('<parts...>', PART_ARGUMENT)
    .requiredOption('--out <target>', 'name to publish it under, or a folder (./path) for the two files of PEFT')
    .option('--rank <rank>', 'largest rank of the result, by singular value decomposition (default: what comes out)')
    .addOption(
      new Option('--strategy <strategy>', 'how it is computed, see below')
        .choices(['sum', 'linear', 'ties', 'dare_linear', 'dare_ties'])
        .default('sum'),
    )
    .option('--density <share>', 'share of the values that ties and dare_* keep, above 0 and at most 1')
    .addOption(new Option('--majority-sign <method>', 'whose sign ties elects').choices(['total', 'frequency']).default('total'))
    .option('--no-activate', 'with a name: only stage the version');
  addSettingFlags(command, ['modelsDir', 'model']);
  addServer(command).addHelpText('after', EXPLANATION);
  addExamples(command, [
    ["adapters merge 'poet*0.7' 'sql*0.3' --out both", 'publish the exact sum as "both"'],
    ["adapters merge 'poet*0.7' './peft-output*0.3' --out ./merged --rank 8", 'write it at rank 8, with what that loses'],
    ['adapters merge poet sql --strategy ties --density 0.5 --out both-ties', 'as PEFT merges by TIES'],
  ]);
  return command.action(async (texts: string[], options: MergeCommandOptions & Readonly<Record<string, unknown>>) => {
    const wanted = mergeOptions(options);
    const { settings } = commandSettings(context, options);
    const parts = await readParts(context, options, texts);
    const merged = await mergeOnBase(join(settings.modelsDir, settings.model), parts, wanted);
    const target = isFolder(options.out)
      ? await writeFolder(resolve(context.workingDirectory, options.out), merged)
      : await publish(context, options, merged);
    print(context, options, report(parts, merged, target), () => [
      ...lossLines(merged, wanted.rank),
      `merged ${texts.join(' + ')} into ${target}`,
    ]);
  });
}

async function mergeOnBase(folder: string, parts: readonly LoraPart[], wanted: MergeOptions): Promise<MergedAdapters> {
  const model = await openModelPackage(folder);
  try {
    return await mergeAdapters(parts, wanted, model);
  } finally {
    await model.close();
  }
}

function mergeOptions({ rank, strategy, density, majoritySign }: MergeCommandOptions): MergeOptions {
  if (rank !== undefined && !/^[1-9]\d{0,4}$/.test(rank)) {
    throw new AppError('usage', `--rank: got ${JSON.stringify(rank)}, expected a whole number from 1`);
  }
  const kept = { rank: rank === undefined ? null : Number(rank) };
  if (strategy !== 'sum' && strategy !== 'linear') {
    const share = densityOf(density, strategy);
    return { ...kept, strategy: strategy === 'dare_linear' ? { strategy, density: share } : { strategy, density: share, majoritySign } };
  }
  if (density !== undefined) throw new AppError('usage', `--density: ${strategy} keeps all values; leave it out, or choose ties or dare_*`);
  return { ...kept, strategy: { strategy } };
}

function densityOf(text: string | undefined, strategy: string): number {
  const share = Number(text);
  if (share > 0 && share <= 1) return share;
  const came = text === undefined ? 'none' : JSON.stringify(text);
  throw new AppError('usage', `--density: got ${came}, expected a share above 0 and at most 1 for ${strategy}`);
}

async function writeFolder(folder: string, { files }: MergedAdapters): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'adapter_config.json'), files.config);
  await writeFile(join(folder, 'adapter_model.safetensors'), files.tensors);
  return folder;
}

/** Answers `name@version`. */
async function publish(context: CommandContext, options: MergeCommandOptions, { files }: MergedAdapters): Promise<string> {
  const form = new FormData();
  form.append('adapter_config.json', new Blob([Uint8Array.from(files.config)]), 'adapter_config.json');
  form.append('adapter_model.safetensors', new Blob([Uint8Array.from(files.tensors)]), 'adapter_model.safetensors');
  const path = `${adapterPath(options.out)}${options.activate ? '' : '?activate=false'}`;
  const { name, version } = asRecord(await serverClient(context, options).json(path, { method: 'PUT', body: form }));
  return `${cell(name)}@${cell(version)}`;
}

function report(parts: readonly LoraPart[], { sites, relativeError }: MergedAdapters, target: string): object {
  return {
    target,
    parts: parts.map(({ label, weight }) => ({ adapter: label, weight })),
    rank: Math.max(...sites.map(({ rank }) => rank)),
    relative_error: relativeError,
    sites: sites.map(({ site, rank, fullRank, relativeError: error }) => ({ site, rank, full_rank: fullRank, relative_error: error })),
  };
}

/** A table of what every matrix lost, where ranks were cut. */
function lossLines({ sites, relativeError }: MergedAdapters, rank: number | null): readonly string[] {
  if (rank === null) return [];
  const rows = sites.map(({ site, fullRank, rank: kept, relativeError: error }) => [site, `${fullRank} -> ${kept}`, shownShare(error)]);
  return [...table(['matrix', 'rank', 'lost'], rows), `lost in all: ${shownShare(relativeError)} of dW`, ''];
}

function shownShare(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
