// `lorikeet serve`: settings → the front process, and the ready line. Runs until the front stops.
import { Command } from 'commander';
import { formatSettings, printedSettings } from '../config/index.ts';
import { startFront } from '../entries/front.ts';
import type { CommandContext } from './context.ts';
import { addExamples, addJson, addSettingFlags, ALL_SETTINGS, commandSettings } from './options.ts';
import { print } from './output.ts';

interface ServeOptions {
  readonly json?: boolean;
  readonly printSettings?: boolean;
}

export function serveCommand(context: CommandContext): Command {
  const command = new Command('serve').description('serve a base model and its adapters over HTTP');
  addSettingFlags(command, ALL_SETTINGS);
  command.option('--print-settings', 'print every setting with its source, and stop');
  addExamples(addJson(command), [
    ['serve --port 9000 --precision int4', 'another port, smaller weights'],
    ['serve --print-settings', 'show what would be used, and where each value comes from'],
    ['serve --host 0.0.0.0 --data-dir /var/lib/lorikeet', 'reachable from outside; needs an API key, see "lorikeet keys create"'],
  ]);
  return command.action(async (options: ServeOptions & Readonly<Record<string, unknown>>) => {
    const loaded = commandSettings(context, options);
    if (options.printSettings === true) {
      print(context, options, printedSettings(loaded), () => [formatSettings(loaded)]);
      return;
    }
    const server = await startFront(loaded.settings);
    print(context, options, { url: server.url, model: loaded.settings.model }, ({ url, model }) =>
      readyLines(url, model, loaded.settings.samplesDir !== null),
    );
    await server.stopped;
  });
}

/** Inputs as the sample adapters were trained on: facts in, a sentence out. */
const SAMPLE = { adapter: 'e2e-describe', prompt: 'name : Blue Spice | Type : coffee shop | area : city centre\n' };

function readyLines(url: string, model: string, hasSamples: boolean): string[] {
  const query = hasSamples ? `?adapter=${SAMPLE.adapter}` : '';
  const body = JSON.stringify({ prompt: hasSamples ? SAMPLE.prompt : 'Once upon a time', max_new_tokens: 60 });
  return [
    `lorikeet is ready: ${model} at ${url}, API docs at ${url}/docs`,
    `try: curl -s '${url}/generate${query}' -H 'content-type: application/json' -d '${body}'`,
  ];
}
