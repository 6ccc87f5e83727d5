// `lorikeet adapters push`: PEFT's two files, streamed to the server.
import { openAsBlob } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { AppError, describeError } from '../../core/index.ts';
import { asRecord, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { adapterPath, cell } from './wire.ts';

const FILES = ['adapter_config.json', 'adapter_model.safetensors'];

interface PushOptions extends ServerOptions, OutputOptions {
  /** False with --no-activate. */
  readonly activate: boolean;
}

export function adaptersPushCommand(context: CommandContext): Command {
  const command = new Command('push')
    .description('upload a PEFT adapter as a new version and switch to it')
    .argument('<name>', 'name to serve it under')
    .argument('<folder>', `folder with ${FILES.join(' and ')}`)
    .option('--no-activate', 'only stage the version; "adapters activate" switches to it later');
  addExamples(addServer(command), [
    ['adapters push my-adapter ./peft-output', 'upload and switch; requests in flight finish on the old version'],
    ['adapters push my-adapter ./peft-output --no-activate', 'upload only'],
  ]);
  return command.action(async (name: string, folder: string, options: PushOptions) => {
    const form = new FormData();
    for (const file of FILES) form.append(file, await openPart(join(folder, file)), file);
    const path = `${adapterPath(name)}${options.activate ? '' : '?activate=false'}`;
    const response = await serverClient(context, options).response(path, { method: 'PUT', body: form });
    const isNew = response.status === 201;
    print(context, options, await response.json(), (body) => {
      const { version, digest, rank } = asRecord(body);
      const what = isNew ? `version ${cell(version)} of ${name}` : `${name} had these bytes already, as version ${cell(version)}`;
      return [`${what}: rank ${cell(rank)}, digest ${cell(digest)}`];
    });
  });
}

async function openPart(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (cause) {
    throw new AppError('usage', `cannot read ${path} (${describeError(cause)}); expected a folder that holds ${FILES.join(' and ')}`, {
      cause,
    });
  }
}
