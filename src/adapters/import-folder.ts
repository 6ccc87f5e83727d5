// The operator's folder of adapters that may be loaded by path. Nothing outside of it is ever opened, whatever a path or a link says.
import { constants, createWriteStream } from 'node:fs';
import { type FileHandle, open, readdir, realpath, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError } from '../core/index.ts';
import type { UploadPart } from './port.ts';

const PEFT_FILES = ['adapter_config.json', 'adapter_model.safetensors'] as const;
const GGUF_NAME = 'adapter.gguf';

/**
 * Copies the adapter at `given` (a folder of PEFT's two files, or one GGUF file; relative to `root` or absolute) into `target`, as the parts
 * of an upload. Whoever gets them removes them.
 * @throws AppError `invalid_request` for what leads out of `root`, `adapter_not_found` when there is no adapter, `payload_too_large`.
 */
export async function copyFromImportFolder(
  root: string,
  given: string,
  target: { readonly folder: string; readonly prefix: string; readonly maxFileBytes: number },
): Promise<readonly UploadPart[]> {
  const realRoot = await realpath(root).catch(() => {
    throw notFound(given);
  });
  // Said of the text alone, so that the answer tells nothing of what exists outside.
  const asked = path.resolve(realRoot, given);
  if (given.includes('\0') || !(isInside(realRoot, asked) || isInside(path.resolve(root), asked))) throw outside(given);
  const place = await realInside(realRoot, asked, given);
  const parts: UploadPart[] = [];
  try {
    for (const [fileName, file] of await filesOf(place, given)) {
      const part = { fileName, path: path.join(target.folder, `${target.prefix}-${fileName}`) };
      parts.push(part);
      await copy(await realInside(realRoot, file, given), part.path, fileName, target.maxFileBytes);
    }
    return parts;
  } catch (error) {
    await Promise.all(parts.map(async (part) => await rm(part.path, { force: true })));
    throw error;
  }
}

async function filesOf(place: string, given: string): Promise<readonly (readonly [UploadPart['fileName'], string])[]> {
  if (place.endsWith('.gguf')) return [[GGUF_NAME, place]];
  const names = await readdir(place).catch(() => {
    throw notFound(given);
  });
  if (PEFT_FILES.every((name) => names.includes(name))) return PEFT_FILES.map((name) => [name, path.join(place, name)]);
  const ggufs = names.filter((name) => name.endsWith('.gguf'));
  if (ggufs.length !== 1) throw notFound(given);
  return ggufs.map((name) => [GGUF_NAME, path.join(place, name)]);
}

async function realInside(realRoot: string, asked: string, given: string): Promise<string> {
  const real = await realpath(asked).catch(() => {
    throw notFound(given);
  });
  if (!isInside(realRoot, real)) throw outside(given);
  return real;
}

function isInside(folder: string, candidate: string): boolean {
  return candidate.startsWith(folder.endsWith(path.sep) ? folder : `${folder}${path.sep}`);
}

/** `from` was resolved; a link that took its place since is refused by the flag, and what is no plain file is not waited for. */
async function copy(from: string, to: string, fileName: string, maxFileBytes: number): Promise<void> {
  const file: FileHandle = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size, isFile } = await file.stat().then((stat) => ({ size: stat.size, isFile: stat.isFile() }));
    if (!isFile) throw new AppError('invalid_adapter', `${fileName} is no file`);
    if (size > maxFileBytes) {
      throw new AppError('payload_too_large', `${fileName} has ${size} bytes, at most ${maxFileBytes} are allowed`);
    }
    await pipeline(file.createReadStream({ autoClose: false }), createWriteStream(to, { flags: 'wx', mode: 0o600 }));
  } finally {
    await file.close();
  }
}

/** The words of vLLM, which its clients look for. */
function notFound(given: string): AppError {
  return new AppError('adapter_not_found', `No adapter found for '${given.slice(0, 200)}'`, { param: 'lora_path' });
}

function outside(given: string): AppError {
  return new AppError(
    'invalid_request',
    `"lora_path": got '${given.slice(0, 200)}', expected an adapter reference or a path inside the import folder`,
    { param: 'lora_path' },
  );
}
