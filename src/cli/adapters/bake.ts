// `lorikeet adapters bake`: the base model with adapters merged into its weights, as a folder that transformers loads.
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { bakeModel, packSum, type BakedDtype } from '../../adapters/index.ts';
import { AppError } from '../../core/index.ts';
import { openModelPackage } from '../../models/index.ts';
import type { ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer, addSettingFlags, commandSettings } from '../options.ts';
import { formatBytes, type OutputOptions, print } from '../output.ts';
import { createProgress } from '../progress.ts';
import { PART_ARGUMENT, readParts } from './parts.ts';

interface BakeCommandOptions extends ServerOptions, OutputOptions {
  readonly out: string;
  readonly dtype?: BakedDtype;
  readonly shardGib: string;
}

const EXPLANATION = `
The folder has config.json, the tokenizer's files and *.safetensors: AutoModelForCausalLM.from_pretrained loads it, and "lorikeet import" serves it.
Several parts are summed with their weights, as a request for a*0.7,b*0.3 gets them. Every kind of adapter is taken, also with full weights
(modules_to_save), which only a merged model can hold. An adapter of a tied embedding or head unties the two.
A base from a GGUF file gets a config.json and a tokenizer.json made from what the file says; its quantised weights are written as the numbers
that they stand for, in float32 unless --dtype says otherwise. bfloat16 halves the size and rounds away changes below 1/256 of a weight.`;

export function adaptersBakeCommand(context: CommandContext): Command {
  const command = new Command('bake')
    .description('write the base model with adapters merged into it, in Hugging Face layout')
    .argument('<parts...>', PART_ARGUMENT)
    .requiredOption('--out <folder>', 'folder to write; made when missing, else it must be empty')
    .addOption(
      new Option('--dtype <type>', "type of the weights (default: that of the base's files, float32 for a GGUF file)").choices([
        'float32',
        'bfloat16',
        'float16',
      ]),
    )
    .option('--shard-gib <size>', 'largest size of one file of weights, in GiB', '5');
  addSettingFlags(command, ['modelsDir', 'model']);
  addServer(command).addHelpText('after', EXPLANATION);
  addExamples(command, [
    ['adapters bake poet --out ./poet-model', 'the served base with the adapter "poet"'],
    ["adapters bake './peft-output*0.5' --out ./half --dtype bfloat16", 'half of a local adapter, without a server'],
  ]);
  return command.action(async (texts: string[], options: BakeCommandOptions & Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const shardBytes = shardBytesOf(options.shardGib);
    const parts = await readParts(context, options, texts);
    const model = await openModelPackage(join(settings.modelsDir, settings.model));
    const progress = createProgress(context, options.json === true);
    try {
      const folder = resolve(context.workingDirectory, options.out);
      const baked = await bakeModel(model, await packSum(parts, model), {
        folder,
        dtype: options.dtype ?? null,
        shardBytes,
        onProgress: (done, all) => progress.update('weights', done, all, 'steps'),
      });
      print(context, options, { folder, base: model.record.id, ...baked }, ({ dtype, weightBytes, changedTensors, untied }) => [
        `${folder}: ${model.record.id} with ${texts.join(' + ')}, ${formatBytes(weightBytes)} of ${dtype}, ${changedTensors} tensors changed` +
          (untied ? '; embedding and head are no longer tied' : ''),
      ]);
    } finally {
      progress.finish();
      await model.close();
    }
  });
}

function shardBytesOf(text: string): number {
  const size = Number(text);
  if (size > 0 && Number.isFinite(size)) return size * 1024 ** 3;
  throw new AppError('usage', `--shard-gib: got ${JSON.stringify(text)}, expected a number above 0`);
}
