// `lorikeet doctor`: can this machine serve with these settings, and if not, what is the next step?
import { Command } from 'commander';
import { AppError } from '../../core/index.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addJson, addSettingFlags, ALL_SETTINGS, commandSettings } from '../options.ts';
import { print } from '../output.ts';
import type { Finding } from './check.ts';
import { checkDisk, checkMemory, checkNode, checkProcessor, checkPython } from './machine.ts';
import { checkDataFolder, checkModel, checkPort, checkRuntime, existingAncestor } from './installation.ts';

export function doctorCommand(context: CommandContext): Command {
  const command = new Command('doctor').description('check this machine and installation; every line that is not ok says what to do');
  addSettingFlags(command, ALL_SETTINGS);
  addExamples(addJson(command), [
    ['doctor', 'check with the settings that serve would use'],
    ['doctor --port 9000 --json', 'another port, as JSON'],
  ]);
  return command.action(async (options: Readonly<Record<string, unknown>>) => {
    const { settings } = commandSettings(context, options);
    const findings = [
      checkNode(),
      checkRuntime(settings.ortLibrary),
      checkProcessor(),
      checkMemory(),
      await checkDisk(await existingAncestor(settings.modelsDir)),
      await checkModel(settings),
      await checkDataFolder(settings.dataDir),
      await checkPort(settings.host, settings.port),
      await checkPython(),
    ];
    print(context, options, findings, () => findings.map(findingLine));
    const failed = findings.filter(({ state }) => state === 'fail');
    if (failed.length > 0)
      throw new AppError('conflict', `not ready to serve: ${failed.map(({ name }) => name).join(', ')} failed, see above`);
  });
}

function findingLine({ name, state, detail, nextStep }: Finding): string {
  return `${state.padEnd(4)}  ${name.padEnd(12)}  ${detail}${nextStep === undefined ? '' : `; next: ${nextStep}`}`;
}
