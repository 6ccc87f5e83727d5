// `lorikeet models`: what is imported on this machine.
import { Command } from 'commander';
import { type ListedModel, listModels } from '../models/index.ts';
import type { CommandContext } from './context.ts';
import { addExamples, addJson, addSettingFlags, commandSettings } from './options.ts';
import { formatBytes, formatTime, print, table } from './output.ts';

export function modelsCommand(context: CommandContext): Command {
  const command = new Command('models').description('list the base models that are imported on this machine');
  addSettingFlags(command, ['modelsDir']);
  addExamples(addJson(command), [['models --json', 'as JSON']]);
  return command.action(async (options: Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const models = (await listModels(settings.modelsDir)).map(({ record, folder }) => ({ ...record, folder }));
    print(context, options, models, () =>
      models.length === 0
        ? ['no base model is imported; fetch one with: lorikeet pull smollm2-135m-instruct']
        : table(['id', 'source', 'size', 'digest', 'imported'], models.map(modelRow)),
    );
  });
}

function modelRow({ id, sourceKind, sourceFiles, digest, createdAtMs }: ListedModel['record']): string[] {
  const bytes = sourceFiles.reduce((sum, file) => sum + file.bytes, 0);
  return [id, sourceKind, formatBytes(bytes), digest.slice(0, 12), formatTime(createdAtMs)];
}
