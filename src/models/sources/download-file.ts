// One file from a URL to disk: resumed from its .part file, retried with back-off, and given its name only when size and digest are right.
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError, describeError } from '../../core/index.ts';
import { httpGet, type HttpLimits } from './http-get.ts';
import { fileBytes, fileMatches, type ExpectedFile } from './verify-file.ts';

export interface TransferSettings extends HttpLimits {
  readonly token: string | null;
  /** Pauses between attempts that bring nothing new; as many retries as there are pauses. */
  readonly retryDelaysMs: readonly number[];
  readonly wait: (delayMs: number) => Promise<void>;
}

export interface FileDownload extends ExpectedFile {
  readonly url: URL;
  readonly target: string;
  readonly onBytes: (receivedBytes: number) => void;
  /** What an answer that is not the file means; undefined for "try again". */
  readonly refusal: (status: number) => AppError | undefined;
}

type Attempt = { readonly kind: 'complete' } | { readonly kind: 'failed'; readonly connected: boolean; readonly reason: string };

const DISK_ERRORS = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EIO']);

/**
 * Does nothing when the right file is there already.
 * @throws AppError usage with the host, the reason and the number of attempts; the .part file stays for the next time, unless it is wrong.
 */
export async function downloadFile(settings: TransferSettings, download: FileDownload): Promise<void> {
  if (await fileMatches(download.target, download)) return;
  await mkdir(dirname(download.target), { recursive: true });
  const part = `${download.target}.part`;
  await receiveAll(settings, download, part);
  if (!(await fileMatches(part, download))) {
    await rm(part, { force: true });
    const { kind, hex } = download.digest ?? { kind: 'size', hex: String(download.bytes) };
    throw new AppError(
      'usage',
      `${basename(download.target)} from ${download.url.host} is damaged: its ${kind} is not ${hex}. It was removed; try again.`,
    );
  }
  await syncFile(part);
  await rename(part, download.target);
}

async function receiveAll(settings: TransferSettings, download: FileDownload, part: string): Promise<void> {
  let failures = 0;
  let hasReceived = false;
  for (;;) {
    const startBytes = await usablePartBytes(part, download.bytes);
    const attempt = await receive(settings, download, part, startBytes);
    if (attempt.kind === 'complete') return;
    const isFurther = ((await fileBytes(part)) ?? 0) > startBytes;
    hasReceived ||= isFurther;
    failures = isFurther ? 1 : failures + 1;
    const delayMs = settings.retryDelaysMs[failures - 1];
    // A host that cannot be reached at all is reported at once, so that another source is tried without delay.
    const isUnreachable = !attempt.connected && !hasReceived;
    if (isUnreachable || delayMs === undefined) {
      const verb = isUnreachable ? 'cannot be reached' : `failed ${failures} times`;
      throw new AppError('usage', `${download.url.host} ${verb} (${attempt.reason})`);
    }
    await settings.wait(delayMs);
  }
}

/** A .part file longer than the file itself is of something else. */
async function usablePartBytes(part: string, bytes: number): Promise<number> {
  const found = (await fileBytes(part)) ?? 0;
  if (found <= bytes) return found;
  await rm(part);
  return 0;
}

async function receive(settings: TransferSettings, download: FileDownload, part: string, startBytes: number): Promise<Attempt> {
  if (startBytes === download.bytes && startBytes > 0) return { kind: 'complete' };
  const range: Record<string, string> = startBytes > 0 ? { range: `bytes=${startBytes}-` } : {};
  const outcome = await httpGet({ ...settings, url: download.url, headers: { 'accept-encoding': 'identity', ...range } });
  if (outcome.kind === 'failed') return outcome;
  const { status, headers, body } = outcome;
  const continues = status === 206 && startBytes > 0 && headers['content-range']?.startsWith(`bytes ${startBytes}-`) === true;
  if (continues || status === 200) return writeBody(body.stream, download, part, continues ? startBytes : 0);
  body.stream.destroy();
  const refusal = download.refusal(status);
  if (refusal !== undefined) throw refusal;
  // The server does not have the range that was asked for: begin again.
  if (status === 416 || status === 206) await rm(part, { force: true });
  return { kind: 'failed', connected: true, reason: `status ${status}` };
}

async function writeBody(body: Readable, download: FileDownload, part: string, startBytes: number): Promise<Attempt> {
  const file = await open(part, startBytes > 0 ? 'a' : 'w');
  let received = startBytes;
  try {
    download.onBytes(received);
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      received += chunk.byteLength;
      if (received > download.bytes) break;
      await file.writeFile(chunk);
      download.onBytes(received);
    }
  } catch (error) {
    if (isDiskError(error)) throw new AppError('usage', `Cannot write ${part}: ${describeError(error)}`, { cause: error });
    return { kind: 'failed', connected: true, reason: describeError(error) };
  } finally {
    await file.close();
  }
  if (received > download.bytes) {
    await rm(part);
    throw new AppError('usage', `${download.url.host} sent more than the ${download.bytes} bytes of ${basename(download.target)}`);
  }
  if (received < download.bytes) return { kind: 'failed', connected: true, reason: `ended after ${received} of ${download.bytes} bytes` };
  return { kind: 'complete' };
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && DISK_ERRORS.has(error.code);
}
