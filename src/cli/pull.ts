// `lorikeet pull`: a base model from the catalogue or the hub, fetched and imported.
import { Command } from 'commander';
import { childCalibrator } from '../entries/calibrator.ts';
import { importModel, pullModel } from '../models/index.ts';
import type { CommandContext } from './context.ts';
import { importProgress, reportImport } from './import.ts';
import { addExamples, addJson, addSettingFlags, commandSettings } from './options.ts';
import { createProgress } from './progress.ts';

interface PullOptions {
  readonly json?: boolean;
  readonly id?: string;
}

export function pullCommand(context: CommandContext): Command {
  const command = new Command('pull')
    .description('fetch a base model and import it')
    .argument('<model>', 'name of the built-in catalogue, or a hub id such as owner/repository')
    .option('--id <id>', 'name to serve it under (default: made from the model name)');
  addSettingFlags(command, ['modelsDir', 'precision', 'prefillPrecision', 'kvPrecision', 'hubEndpoint']);
  addExamples(addJson(command), [
    ['pull smollm2-135m-instruct', 'the default model: one file of 98 MB, pinned by its digest'],
    ['pull HuggingFaceTB/SmolLM2-360M-Instruct', 'a repository of the hub; HF_TOKEN is used for gated ones'],
  ]);
  return command.action(async (model: string, options: PullOptions & Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const progress = createProgress(context, options.json === true);
    try {
      const pulled = await pullModel(model, {
        modelsDir: settings.modelsDir,
        endpoint: settings.hubEndpoint,
        onProgress: ({ fileName, receivedBytes, totalBytes }) => progress.update(fileName, receivedBytes, totalBytes, 'bytes'),
      });
      const imported = await importModel({
        source: pulled.path,
        id: options.id ?? pulled.sourceId,
        modelsDir: settings.modelsDir,
        servedWith: { forms: settings, calibrate: childCalibrator(settings) },
        mayLink: true,
        onProgress: importProgress(progress),
      });
      reportImport(context, options, imported);
    } finally {
      progress.finish();
    }
  });
}
