// A model hub on the loopback for tests: lists and serves the files that it is given, with the faults that a test asks for. Large files are
// redirected to a second origin, as the real hub does, and every request is remembered.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StandInFile {
  readonly content: Uint8Array;
  /** In large file storage: listed with its SHA-256 and served by the other origin. */
  readonly large?: boolean;
}

export interface StandInFaults {
  /** Answers every request with this status. */
  status?: number;
  /** Cuts the connection after so many bytes of a file, this often. */
  cutAfterBytes?: number;
  cutsLeft?: number;
  /** Answers this many requests for files with 503 first. */
  unavailableLeft?: number;
  /** The file that is served with other bytes than listed. */
  corruptPath?: string;
  /** Takes no notice of Range. */
  ignoresRange?: boolean;
  /** Names in the listing, instead of the files' own. */
  listedNames?: readonly string[];
  /** Where large files are redirected to, instead of the second origin. */
  redirectTo?: string;
}

export interface SeenRequest {
  readonly origin: 'hub' | 'storage';
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

export interface StandInHub {
  readonly endpoint: string;
  readonly requests: SeenRequest[];
  readonly faults: StandInFaults;
  close(): Promise<void>;
}

export const STAND_IN_COMMIT = '0123456789abcdef0123456789abcdef01234567';

interface HubState {
  readonly repository: string;
  readonly files: Readonly<Record<string, StandInFile>>;
  readonly faults: StandInFaults;
  readonly requests: SeenRequest[];
  storageUrl: string;
}

export async function startStandInHub(repository: string, files: Readonly<Record<string, StandInFile>>): Promise<StandInHub> {
  const state: HubState = { repository, files, faults: {}, requests: [], storageUrl: '' };
  const storage = createServer((request, response) => {
    remember(state, 'storage', request);
    sendFile(state, decodeURIComponent((request.url ?? '').slice(1)), request, response);
  });
  const hub = createServer((request, response) => {
    remember(state, 'hub', request);
    answer(state, request, response);
  });
  state.storageUrl = await listen(storage);
  const endpoint = await listen(hub);
  return {
    endpoint,
    requests: state.requests,
    faults: state.faults,
    close: async () => {
      await Promise.all([stop(hub), stop(storage)]);
    },
  };
}

/** An endpoint on the loopback where nothing listens. */
export async function closedEndpoint(): Promise<string> {
  const server = createServer();
  const url = await listen(server);
  await stop(server);
  return url;
}

function remember(state: HubState, origin: SeenRequest['origin'], request: IncomingMessage): void {
  const { authorization, range } = request.headers;
  state.requests.push({ origin, path: request.url ?? '', authorization: authorization ?? null, range: range ?? null });
}

function answer(state: HubState, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://stand-in');
  if (state.faults.status !== undefined) {
    response.writeHead(state.faults.status).end();
    return;
  }
  if (url.pathname === `/api/models/${state.repository}/revision/main`) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(listing(state)));
    return;
  }
  const prefix = new RegExp(`^/${state.repository}/resolve/(?:main|${STAND_IN_COMMIT})/(?<path>.+)$`).exec(url.pathname);
  const path = decodeURIComponent(prefix?.groups?.['path'] ?? '');
  const file = state.files[path];
  if (file === undefined) response.writeHead(404).end();
  else if (file.large === true) redirect(state, path, response);
  else sendFile(state, path, request, response);
}

function redirect(state: HubState, path: string, response: ServerResponse): void {
  const location = state.faults.redirectTo ?? `${state.storageUrl}/${encodeURIComponent(path)}`;
  response.writeHead(302, { location }).end();
}

function listing(state: HubState): object {
  const siblings = Object.entries(state.files).map(([path, { content, large }], index) => ({
    rfilename: state.faults.listedNames?.[index] ?? path,
    size: content.byteLength,
    blobId: createHash('sha1').update(`blob ${content.byteLength}\0`).update(content).digest('hex'),
    ...(large === true && { lfs: { sha256: createHash('sha256').update(content).digest('hex'), size: content.byteLength } }),
  }));
  return { sha: STAND_IN_COMMIT, siblings };
}

function sendFile(state: HubState, path: string, request: IncomingMessage, response: ServerResponse): void {
  const { faults } = state;
  if (takeOne(faults, 'unavailableLeft')) {
    response.writeHead(503).end();
    return;
  }
  const content = Buffer.from(state.files[path]?.content ?? new Uint8Array(0));
  if (faults.corruptPath === path) content.fill(0x21);
  const start = faults.ignoresRange === true ? undefined : rangeStart(request);
  const rest = content.subarray(start ?? 0);
  const contentRange = start === undefined ? {} : { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(start === undefined ? 200 : 206, { 'content-length': rest.length, ...contentRange });
  if (faults.cutAfterBytes !== undefined && takeOne(faults, 'cutsLeft')) {
    // Ended, not reset: what was written before the cut does arrive.
    response.write(rest.subarray(0, faults.cutAfterBytes), () => response.socket?.end());
    return;
  }
  response.end(rest);
}

function rangeStart(request: IncomingMessage): number | undefined {
  const start = /^bytes=(?<start>\d+)-$/.exec(request.headers.range ?? '')?.groups?.['start'];
  return start === undefined ? undefined : Number(start);
}

function takeOne(faults: StandInFaults, key: 'unavailableLeft' | 'cutsLeft'): boolean {
  const left = faults[key] ?? 0;
  if (left > 0) faults[key] = left - 1;
  return left > 0;
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      resolve(`http://127.0.0.1:${port}`);
    });
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeAllConnections();
  });
}
