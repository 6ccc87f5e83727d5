// `lorikeet import`: a base model from a local folder or GGUF file. Also how both importing commands choose, show and report.
import { Command } from 'commander';
import type { Settings } from '../config/index.ts';
import { AppError } from '../core/index.ts';
import { importModel, type ImportProgress, type ModelPackage, type Precision } from '../models/index.ts';
import type { CommandContext } from './context.ts';
import { addExamples, addJson, addSettingFlags, commandSettings } from './options.ts';
import { formatBytes, print } from './output.ts';
import { createProgress, type ProgressDisplay } from './progress.ts';

interface ImportCommandOptions {
  readonly json?: boolean;
  readonly id: string;
}

export function importCommand(context: CommandContext): Command {
  const command = new Command('import')
    .description('import a base model from a Hugging Face folder or a GGUF file')
    .argument('<path>', 'folder with config.json, tokenizer.json and *.safetensors, or a .gguf file')
    .requiredOption('--id <id>', 'name to serve it under');
  addSettingFlags(command, ['modelsDir', 'precision']);
  addExamples(addJson(command), [
    ['import ./my-model --id my-model', 'a Hugging Face folder'],
    ['import ./model.Q4_1.gguf --id my-model --precision int4', 'a GGUF file, prepared for serving at int4'],
  ]);
  return command.action(async (path: string, options: ImportCommandOptions & Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const precisions = preparedPrecisions(settings);
    const progress = createProgress(context, options.json === true);
    try {
      const onProgress = importProgress(progress);
      reportImport(
        context,
        options,
        await importModel({ source: path, id: options.id, modelsDir: settings.modelsDir, precisions, onProgress }),
      );
    } finally {
      progress.finish();
    }
  });
}

/** What is compiled at import, so that the first start need not: the precision that serving will choose. */
export function preparedPrecisions({ precision }: Pick<Settings, 'precision'>): readonly Precision[] {
  if (precision === 'w8a8')
    throw new AppError('usage', '--precision w8a8 is not available for the CPU yet; expected auto, fp32, int8 or int4');
  return [precision === 'auto' ? 'int8' : precision];
}

export function importProgress(display: ProgressDisplay): (progress: ImportProgress) => void {
  return ({ stage, done, total }) => display.update(stage, done, total, 'steps');
}

export function reportImport(context: CommandContext, options: { readonly json?: boolean }, { record, folder }: ModelPackage): void {
  const bytes = record.sourceFiles.reduce((sum, file) => sum + file.bytes, 0);
  print(context, options, { ...record, folder }, () => [
    `imported ${record.id} (${formatBytes(bytes)}) into ${folder}; serve it with: lorikeet serve --model ${record.id}`,
  ]);
}
