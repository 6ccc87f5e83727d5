// Uploads a file of rows, unless it is the id of one that was uploaded before.
import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { AppError, describeError } from '../../core/index.ts';
import { asRecord, type ServerClient } from '../client.ts';

/** @returns the file's id on the server. */
export async function uploadRows(client: ServerClient, pathOrId: string): Promise<string> {
  if (pathOrId.startsWith('file-')) return pathOrId;
  const form = new FormData();
  form.append('purpose', 'fine-tune');
  form.append('file', await openRows(pathOrId), basename(pathOrId));
  const { id } = asRecord(await client.json('/v1/files', { method: 'POST', body: form }));
  if (typeof id !== 'string') throw new AppError('internal', 'the server answered no file; is it another version?');
  return id;
}

async function openRows(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (cause) {
    throw new AppError(
      'usage',
      `cannot read ${path} (${describeError(cause)}); expected a file of JSON lines, or the id of an uploaded one`,
      { cause },
    );
  }
}
