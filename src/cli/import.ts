// `lorikeet import`: a base model from a local folder or GGUF file. Also how both importing commands choose, show and report.
import { Command } from 'commander';
import { childCalibrator } from '../entries/calibrator.ts';
import { importModel, type ImportProgress, type ModelPackage } from '../models/index.ts';
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
  addSettingFlags(command, ['modelsDir', 'precision', 'prefillPrecision', 'kvPrecision']);
  addExamples(addJson(command), [
    ['import ./my-model --id my-model', 'a Hugging Face folder'],
    ['import ./model.Q4_1.gguf --id my-model --precision int4', 'a GGUF file, prepared for serving at int4'],
  ]);
  return command.action(async (path: string, options: ImportCommandOptions & Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const progress = createProgress(context, options.json === true);
    try {
      const imported = await importModel({
        source: path,
        id: options.id,
        modelsDir: settings.modelsDir,
        servedWith: { forms: settings, calibrate: childCalibrator(settings) },
        onProgress: importProgress(progress),
      });
      reportImport(context, options, imported);
    } finally {
      progress.finish();
    }
  });
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
