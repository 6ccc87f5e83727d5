// The Hugging Face hub: which files a repository has at a revision, and how to get one. The endpoint is a setting, so a mirror or a stand-in will do.
// Everything that the hub says is checked before it names a file here.
import { AppError } from '../../core/index.ts';
import { downloadFile, type TransferSettings } from './download-file.ts';
import { httpGet, type HttpBody } from './http-get.ts';
import type { ExpectedFile, FileDigest } from './verify-file.ts';

export interface Hub extends TransferSettings {
  readonly endpoint: URL;
}

export interface HubFile extends ExpectedFile {
  /** Path inside the repository, with slashes; relative and without "..". */
  readonly path: string;
}

export interface HubListing {
  /** Commit that the revision named when it was listed; downloads ask for this one, so that all files are of one state. */
  readonly commit: string;
  readonly files: readonly HubFile[];
}

const MAX_LISTING_BYTES = 16 * 1024 * 1024;
const COMMIT = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** Relative, no "." or ".." part, no backslash, drive or control character. Which of these files are wanted is decided elsewhere, more narrowly. */
const SAFE_PATH = /^(?!\/)(?!.*(?:^|\/)\.{1,2}(?:\/|$))[^\\:\p{Cc}]{1,1000}$/u;

/** @throws AppError usage: the hub cannot be reached, refuses, or answers something else. */
export async function listHubFiles(hub: Hub, repository: string, revision: string): Promise<HubListing> {
  const url = new URL(`/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`, hub.endpoint);
  for (let attempt = 0; ; attempt++) {
    const outcome = await httpGet({ ...hub, url, headers: { accept: 'application/json' } });
    if (outcome.kind === 'answer' && outcome.status === 200) return parseListing(hub, await readText(outcome.body));
    if (outcome.kind === 'answer') {
      outcome.body.stream.destroy();
      const refusal = hubRefusal(hub, repository, outcome.status);
      if (refusal !== undefined) throw refusal;
    }
    const delayMs = hub.retryDelaysMs[attempt];
    const reason = outcome.kind === 'failed' ? outcome.reason : `status ${outcome.status}`;
    if (outcome.kind === 'failed' && !outcome.connected) throw new AppError('usage', `${hub.endpoint.host} cannot be reached (${reason})`);
    if (delayMs === undefined) throw new AppError('usage', `${hub.endpoint.host} failed ${attempt + 1} times (${reason})`);
    await hub.wait(delayMs);
  }
}

export interface HubDownload {
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  readonly file: HubFile;
  readonly target: string;
  readonly onBytes: (receivedBytes: number) => void;
}

/** @throws AppError usage */
export async function downloadHubFile(hub: Hub, { repository, revision, file, target, onBytes }: HubDownload): Promise<void> {
  const path = file.path.split('/').map(encodeURIComponent).join('/');
  const url = new URL(`/${repository}/resolve/${encodeURIComponent(revision)}/${path}`, hub.endpoint);
  const refusal = (status: number): AppError | undefined => hubRefusal(hub, `${repository}/${file.path}`, status);
  await downloadFile(hub, { url, target, bytes: file.bytes, digest: file.digest, onBytes, refusal });
}

/** What a status means for good; undefined when trying again may help. */
function hubRefusal(hub: Hub, what: string, status: number): AppError | undefined {
  const host = hub.endpoint.host;
  if (status === 401 || status === 403) {
    const advice = hub.token === null ? 'set HF_TOKEN to a token that may read it' : 'the token in HF_TOKEN may not read it';
    return new AppError('usage', `${host} refuses ${what} (status ${status}): it does not exist, or is private or gated; ${advice}`);
  }
  if (status === 404) return new AppError('usage', `${host} has no ${what} (status 404); check its name and revision`);
  const mayPass = status === 408 || status === 416 || status === 429 || status >= 500 || status === 206;
  return mayPass ? undefined : new AppError('usage', `${host} answered ${what} with status ${status}`);
}

async function readText({ stream, isCut }: HttpBody): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_LISTING_BYTES) break;
    chunks.push(chunk);
  }
  if (isCut()) throw new AppError('usage', 'The list of files broke off; try again');
  if (bytes > MAX_LISTING_BYTES) throw new AppError('usage', `The list of files is longer than ${MAX_LISTING_BYTES} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

function parseListing(hub: Hub, text: string): HubListing {
  const answer = parseJson(text);
  const commit = isRecord(answer) ? answer['sha'] : undefined;
  const siblings = isRecord(answer) ? answer['siblings'] : undefined;
  if (typeof commit !== 'string' || !COMMIT.test(commit) || !Array.isArray(siblings)) {
    throw new AppError('usage', `${hub.endpoint.host} did not answer with a list of files; is it a model hub?`);
  }
  return { commit, files: (siblings as readonly unknown[]).map((sibling) => parseFile(hub, sibling)) };
}

function parseFile(hub: Hub, sibling: unknown): HubFile {
  const path = isRecord(sibling) ? sibling['rfilename'] : undefined;
  if (!isRecord(sibling) || typeof path !== 'string' || !SAFE_PATH.test(path)) {
    throw new AppError(
      'usage',
      `${hub.endpoint.host} lists a file with the name ${JSON.stringify(path)}, which is not a plain relative path`,
    );
  }
  const bytes = sibling['size'];
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new AppError('usage', `${hub.endpoint.host} lists ${path} with the size ${JSON.stringify(bytes)}`);
  }
  return { path, bytes, digest: parseDigest(sibling) };
}

function parseDigest(sibling: Readonly<Record<string, unknown>>): FileDigest | null {
  const lfs = sibling['lfs'];
  const sha256 = isRecord(lfs) ? (lfs['sha256'] ?? lfs['oid']) : undefined;
  if (typeof sha256 === 'string' && SHA256.test(sha256)) return { kind: 'sha256', hex: sha256 };
  const blobId = sibling['blobId'];
  return !isRecord(lfs) && typeof blobId === 'string' && COMMIT.test(blobId) ? { kind: 'git-blob', hex: blobId } : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
