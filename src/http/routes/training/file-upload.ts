// Reads the multipart body of POST /v1/files into a file below the upload folder. A file's name is kept as a label and never becomes a path.
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import { formatByteSize } from '../../../config/index.ts';
import { AppError } from '../../../core/index.ts';
import { formParts, partBytes } from '../../form-parts.ts';

const EXPECTED = 'the field "purpose" with the value fine-tune and one file named "file"';
const PURPOSE = 'fine-tune';
const NAME_CHARACTERS = 255;
const CONTROL_CHARACTERS = /\p{Cc}/gu;

export interface ReceivedFile {
  readonly path: string;
  readonly fileName: string;
}

/** @throws AppError that names the part; nothing stays on the disk then. The caller owns the file of the answer. */
export async function receiveFile(request: FastifyRequest, folder: string, maxBytes: number): Promise<ReceivedFile> {
  const path = join(folder, `${randomUUID()}.part`);
  let fileName: string | null = null;
  let hasPurpose = false;
  try {
    for await (const part of formParts(request, EXPECTED, maxBytes)) {
      if (part.type === 'file') {
        if (part.fieldname !== 'file' || fileName !== null) throw unexpectedPart(part);
        fileName = labelOf(part.filename);
        await writeFilePart(part, path, maxBytes);
      } else {
        if (part.fieldname !== 'purpose' || hasPurpose) throw unexpectedPart(part);
        requirePurpose(part.value);
        hasPurpose = true;
      }
    }
    if (fileName === null) throw missing('file');
    if (!hasPurpose) throw missing('purpose');
    return { path, fileName };
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

function unexpectedPart(part: Multipart): AppError {
  const name = part.fieldname.slice(0, 80);
  return new AppError('unsupported_parameter', `got the ${part.type} "${name}", expected ${EXPECTED}`, { param: name });
}

function requirePurpose(value: unknown): void {
  if (value === PURPOSE) return;
  const shown = typeof value === 'string' ? `"${value.slice(0, 80)}"` : 'something else';
  throw new AppError('invalid_request', `"purpose": got ${shown}, expected "${PURPOSE}"`, { param: 'purpose' });
}

function missing(name: string): AppError {
  return new AppError('invalid_request', `"${name}" is missing, expected ${EXPECTED}`, { param: name });
}

async function writeFilePart(part: MultipartFile, path: string, maxBytes: number): Promise<void> {
  await pipeline(partBytes(part, EXPECTED), createWriteStream(path, { mode: 0o600, flags: 'wx' }));
  if (part.file.truncated || part.file.bytesRead > maxBytes)
    throw new AppError('payload_too_large', `the file is larger than ${formatByteSize(maxBytes)} (trainingFileMaxBytes)`, {
      param: 'file',
    });
  if (part.file.bytesRead === 0) throw new AppError('invalid_request', '"file": got an empty file', { param: 'file' });
}

/** What a client called its file, without folders and control characters. */
function labelOf(fileName: string): string {
  const base = fileName.slice(Math.max(fileName.lastIndexOf('/'), fileName.lastIndexOf('\\')) + 1);
  const plain = base.replaceAll(CONTROL_CHARACTERS, '');
  return plain.slice(0, NAME_CHARACTERS) || 'file.jsonl';
}
