// Adapters named on the command line with weights, `poet*0.7` or `./folder*0.3`, as PEFT's files: from the server or from a folder.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkedWeight, filesOfExport, type LoraPart } from '../../adapters/index.ts';
import { AppError, describeError } from '../../core/index.ts';
import { type ServerClient, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { adapterPath, parseVersion, readPointer } from './wire.ts';

/** What help says of an argument of this kind. */
export const PART_ARGUMENT = 'adapter on the server (name or name@version) or a folder (./path), with its weight: poet*0.7; without one 1';

const PART = /^(?<source>[^*]+)(?:\*(?<weight>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))?$/;

/** @throws AppError `usage` for text that is no part, and what reading it throws. */
export async function readParts(context: CommandContext, options: ServerOptions, texts: readonly string[]): Promise<readonly LoraPart[]> {
  const named = texts.map(parsePart);
  const client = serverClient(context, options);
  const parts: LoraPart[] = [];
  for (const { source, weight } of named) {
    const files = isFolder(source) ? await readFolder(resolve(context.workingDirectory, source)) : await download(client, source);
    parts.push({ label: source, weight, files });
  }
  return parts;
}

/** A path that names itself as one, so that a folder never hides an adapter. */
export function isFolder(source: string): boolean {
  return /^(?:\.{0,2}[\\/]|\.{1,2}$)/.test(source);
}

function parsePart(text: string): { readonly source: string; readonly weight: number } {
  const { source, weight } = PART.exec(text)?.groups ?? {};
  if (source === undefined)
    throw new AppError('usage', `got ${JSON.stringify(text)}, expected an adapter or ./folder with a weight, like poet*0.7`);
  try {
    return { source, weight: checkedWeight(Number(weight ?? 1)) };
  } catch (cause) {
    throw new AppError('usage', describeError(cause), { cause });
  }
}

async function readFolder(folder: string): Promise<LoraPart['files']> {
  try {
    const [config, tensors] = await Promise.all([
      readFile(join(folder, 'adapter_config.json')),
      readFile(join(folder, 'adapter_model.safetensors')),
    ]);
    return { config, tensors };
  } catch (cause) {
    const message = `cannot read ${folder} (${describeError(cause)}); expected a folder with adapter_config.json and adapter_model.safetensors`;
    throw new AppError('usage', message, { cause });
  }
}

/** As PEFT's files, also what was uploaded as GGUF. */
async function download(client: ServerClient, reference: string): Promise<LoraPart['files']> {
  const [name = '', versionText, ...more] = reference.split('@');
  if (more.length > 0) throw new AppError('usage', `got ${JSON.stringify(reference)}, expected name or name@version`);
  const version = versionText === undefined ? (await readPointer(client, name)).version : parseVersion(versionText);
  if (version === null) throw new AppError('not_found', `adapter "${name}" has no active version; name one, like ${name}@1`);
  const headers = { accept: 'application/x-tar, application/json' };
  const response = await client.response(`${adapterPath(name)}/versions/${version}/export?format=peft`, { headers });
  return filesOfExport(new Uint8Array(await response.arrayBuffer()));
}
