// Reads the multipart body of an upload into files below the registry's upload folder. Field or file names only choose between the known
// files; they never become a path. Whatever goes wrong, no file stays behind.
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import type { UploadPart } from '../../../adapters/index.ts';
import { formatByteSize } from '../../../config/index.ts';
import { AppError } from '../../../core/index.ts';
import { formParts, partBytes } from '../../form-parts.ts';

type UploadFileName = UploadPart['fileName'];

const PEFT_NAMES: readonly UploadFileName[] = ['adapter_config.json', 'adapter_model.safetensors'];
const GGUF_NAME: UploadFileName = 'adapter.gguf';
/** PEFT's own files are far smaller; a large one is no configuration. */
const CONFIG_MAX_BYTES = 1024 ** 2;
const EXPECTED = `one part each for ${PEFT_NAMES.join(' and ')}, or one for a .gguf file`;

export interface UploadLimits {
  readonly folder: string;
  readonly maxBytes: number;
}

/** @throws AppError that names the part; the files received so far are removed. The caller owns the files of the answer. */
export async function receiveUpload(request: FastifyRequest, limits: UploadLimits): Promise<readonly UploadPart[]> {
  const received: UploadPart[] = [];
  try {
    for await (const part of formParts(request, EXPECTED)) {
      if (part.type !== 'file') {
        throw new AppError('invalid_request', `got the form field "${part.fieldname.slice(0, 80)}", expected only files: ${EXPECTED}`);
      }
      const path = join(limits.folder, `${randomUUID()}.part`);
      received.push({ fileName: fileNameOf(part, received), path });
      await writePart(part, path, limits.maxBytes);
    }
    requireAll(received);
    return received;
  } catch (error) {
    await removeParts(received);
    throw error;
  }
}

export async function removeParts(parts: readonly UploadPart[]): Promise<void> {
  await Promise.all(parts.map((part) => rm(part.path, { force: true })));
}

function fileNameOf(part: MultipartFile, received: readonly UploadPart[]): UploadFileName {
  const named = (text: string): UploadFileName | undefined =>
    text.endsWith('.gguf') ? GGUF_NAME : PEFT_NAMES.find((name) => name === text);
  const known = named(part.fieldname) ?? named(part.filename);
  if (known === undefined) {
    const shown = (part.filename || part.fieldname).slice(0, 80);
    throw new AppError('invalid_request', `got a file "${shown}", expected ${EXPECTED}; pickled weights (.bin, .pt) are not accepted`, {
      param: shown,
    });
  }
  if (received.some((other) => other.fileName === known)) {
    throw new AppError('invalid_request', `got "${known}" twice, expected ${EXPECTED}`, { param: known });
  }
  return known;
}

async function writePart(part: MultipartFile, path: string, maxBytes: number): Promise<void> {
  const name = part.fieldname;
  const limit =
    part.fieldname === 'adapter_config.json' || part.filename === 'adapter_config.json' ? Math.min(CONFIG_MAX_BYTES, maxBytes) : maxBytes;
  await pipeline(partBytes(part, EXPECTED), createWriteStream(path, { mode: 0o600, flags: 'wx' }));
  if (part.file.truncated || part.file.bytesRead > limit) {
    throw new AppError('payload_too_large', `the file "${name.slice(0, 80)}" is larger than ${formatByteSize(limit)}`, {
      param: name.slice(0, 80),
    });
  }
}

function requireAll(received: readonly UploadPart[]): void {
  const hasGguf = received.some((part) => part.fileName === GGUF_NAME);
  if (hasGguf && received.length === 1) return;
  if (hasGguf) throw new AppError('invalid_request', `got a .gguf file beside PEFT's, expected ${EXPECTED}`);
  const missing = PEFT_NAMES.find((name) => !received.some((part) => part.fileName === name));
  if (missing !== undefined) throw new AppError('invalid_request', `"${missing}" is missing, expected ${EXPECTED}`, { param: missing });
}
