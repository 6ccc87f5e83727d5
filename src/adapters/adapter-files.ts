// The stored files of a version, and what they are in the other format.
import { readFile } from 'node:fs/promises';
import { AppError } from '../core/index.ts';
import { readTar, writeTar } from '../formats/index.ts';
import type { BaseModelDescription } from '../models/index.ts';
import type { AdapterFileRow, AdapterVersionRow, Storage } from '../storage/index.ts';
import { GGUF_FILE, peftFromGguf } from './gguf-adapter.ts';
import { ggufFromPeft } from './gguf-export.ts';
import type { ExportedAdapter, ExportFormat } from './port.ts';
import type { AdapterFiles } from './validate.ts';

type Blobs = Pick<Storage['blobs'], 'path'>;

/** PEFT's files as they were uploaded, or made from a GGUF file. @throws AppError when the GGUF file does not fit the base. */
export async function readAsPeft(files: readonly AdapterFileRow[], blobs: Blobs, base: BaseModelDescription): Promise<AdapterFiles> {
  if (isGguf(files)) return await peftFromGguf(await readStored(files, GGUF_FILE, blobs), base);
  const [config, tensors] = await Promise.all([
    readStored(files, 'adapter_config.json', blobs),
    readStored(files, 'adapter_model.safetensors', blobs),
  ]);
  return { config, tensors };
}

/** A file that has the wanted format already is not converted. @throws AppError `unsupported_adapter` when GGUF has no words for it. */
export async function exportFiles(
  { name, version, files, createdAtMs }: AdapterVersionRow,
  format: ExportFormat,
  blobs: Blobs,
  base: BaseModelDescription,
): Promise<ExportedAdapter> {
  const stem = `${name}-${version}`;
  if (format === 'gguf') {
    const bytes = isGguf(files)
      ? await readStored(files, GGUF_FILE, blobs)
      : ggufFromPeft(await readAsPeft(files, blobs, base), base, name);
    return { fileName: `${stem}.gguf`, contentType: 'application/octet-stream', bytes };
  }
  const { config, tensors } = await readAsPeft(files, blobs, base);
  const entries = [
    { name: 'adapter_config.json', bytes: config },
    { name: 'adapter_model.safetensors', bytes: tensors },
  ];
  return { fileName: `${stem}.tar`, contentType: 'application/x-tar', bytes: writeTar(entries, createdAtMs) };
}

/** PEFT's two files of an archive that `exportFiles` made. @throws AppError `invalid_adapter` when it is none. */
export function filesOfExport(archive: Uint8Array): AdapterFiles {
  const files = readTar(archive);
  const [config, tensors] = [files.get('adapter_config.json'), files.get('adapter_model.safetensors')];
  if (config === undefined || tensors === undefined) {
    throw new AppError(
      'invalid_adapter',
      `the archive has ${[...files.keys()].join(', ') || 'no files'}, expected those of a PEFT adapter`,
    );
  }
  return { config, tensors };
}

/** Whether the export reads the loaded base: a conversion does. */
export function needsConversion(files: readonly AdapterFileRow[], format: ExportFormat): boolean {
  return isGguf(files) !== (format === 'gguf');
}

function isGguf(files: readonly AdapterFileRow[]): boolean {
  return files.some(({ fileName }) => fileName === GGUF_FILE);
}

async function readStored(files: readonly AdapterFileRow[], fileName: string, blobs: Blobs): Promise<Uint8Array> {
  const file = files.find((candidate) => candidate.fileName === fileName);
  if (file === undefined) throw new Error(`adapter files: ${fileName} was checked but is not there`);
  return await readFile(blobs.path(file.digest));
}
