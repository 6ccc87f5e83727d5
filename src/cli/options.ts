// Option sets that several commands share: settings as flags, the server's address, JSON output, examples in the help.
import { Option, type Command } from 'commander';
import { loadSettings, settingInfos, type LoadedSettings, type SettingKey } from '../config/index.ts';
import { DEFAULT_URL } from './client.ts';
import type { CommandContext } from './context.ts';

/** Adds a flag for each of these settings, with its meaning, rule and default from the settings table. */
export function addSettingFlags(command: Command, keys: readonly SettingKey[]): Command {
  for (const { key, flag, rule, standardText, description } of settingInfos()) {
    if (keys.includes(key)) command.addOption(new Option(`--${flag} <value>`, `${description}; ${rule} (default: ${standardText})`));
  }
  return command;
}

export const ALL_SETTINGS: readonly SettingKey[] = settingInfos().map(({ key }) => key);

/** Settings from a command's flags, the environment and lorikeet.config.json in the working directory. */
export function commandSettings(context: CommandContext, options: Readonly<Record<string, unknown>>): LoadedSettings {
  const known = new Set<string>(ALL_SETTINGS);
  const flags = Object.fromEntries(Object.entries(options).filter(([name]) => known.has(name)));
  return loadSettings({ flags, environment: context.environment, folder: context.workingDirectory });
}

export function addJson(command: Command): Command {
  return command.option('--json', 'print JSON');
}

/** For commands that talk HTTP to a server. */
export function addServer(command: Command): Command {
  return addJson(command).option('--url <url>', `address of the server (default: LORIKEET_URL, else ${DEFAULT_URL})`);
}

/** `examples` are arguments of `lorikeet`, each with a word on what it does. */
export function addExamples(command: Command, examples: readonly (readonly [commandLine: string, meaning: string])[]): Command {
  const lines = examples.map(([commandLine, meaning]) => `  # ${meaning}\n  $ lorikeet ${commandLine}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}
