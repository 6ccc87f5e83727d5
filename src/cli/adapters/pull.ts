// `lorikeet adapters pull`: the original files of a version, as they were uploaded.
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { AppError } from '../../core/index.ts';
import { type ServerClient, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { adapterPath, parseVersion, readPointer } from './wire.ts';

const FILES = ['adapter_config.json', 'adapter_model.safetensors'];

export function adaptersPullCommand(context: CommandContext): Command {
  const command = new Command('pull')
    .description('download the files of an adapter version, as they were uploaded')
    .argument('<name>', 'adapter')
    .argument('<folder>', 'folder to write to; made when missing')
    .argument('[version]', 'version number (default: the active one)');
  addExamples(addServer(command), [
    ['adapters pull my-adapter ./copy', 'the active version'],
    ['adapters pull my-adapter ./copy 3', 'version 3'],
  ]);
  return command.action(async (name: string, folder: string, versionText: string | undefined, options: ServerOptions & OutputOptions) => {
    const client = serverClient(context, options);
    const version = versionText === undefined ? (await readPointer(client, name)).version : parseVersion(versionText);
    if (version === null)
      throw new AppError('not_found', `adapter "${name}" has no active version; name one after the folder, see "adapters list ${name}"`);
    await mkdir(folder, { recursive: true });
    for (const file of FILES) await download(client, `${adapterPath(name)}/versions/${version}/files/${file}`, join(folder, file));
    print(context, options, { name, version, folder, files: FILES }, () => [`version ${version} of ${name} is in ${folder}`]);
  });
}

/** A download that breaks off leaves no file under the final name. */
async function download(client: ServerClient, path: string, target: string): Promise<void> {
  const response = await client.response(path, { headers: { accept: 'application/octet-stream, application/json' } });
  if (response.body === null) throw new AppError('internal', `the server sent nothing for ${target}; try again`);
  const partial = `${target}.part`;
  try {
    await pipeline(Readable.fromWeb(response.body), createWriteStream(partial));
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
