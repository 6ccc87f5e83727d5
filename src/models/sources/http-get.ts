// One GET over HTTP with a limit on connecting, a limit on silence, and redirects that never carry the token to another host.
// Knows nothing of the hub. A failure to connect is a returned value: callers decide quickly what to try next.
import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { PassThrough, type Readable } from 'node:stream';
import { AppError, describeError } from '../../core/index.ts';

export interface HttpLimits {
  readonly connectTimeoutMs: number;
  /** Longest silence of a connection. */
  readonly idleTimeoutMs: number;
}

export interface HttpGet extends HttpLimits {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent to the origin of `url` only; null for none. */
  readonly token: string | null;
}

export type HttpOutcome =
  | { readonly kind: 'answer'; readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: HttpBody }
  | { readonly kind: 'failed'; readonly connected: boolean; readonly reason: string };

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** @throws AppError usage for a redirect that must not be followed. */
export async function httpGet(get: HttpGet): Promise<HttpOutcome> {
  let url = get.url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const mayHaveToken = get.token !== null && url.origin === get.url.origin;
    const headers = mayHaveToken ? { ...get.headers, authorization: `Bearer ${get.token}` } : get.headers;
    const outcome = await openOnce(url, headers, get);
    if (outcome.kind === 'failed' || !REDIRECTS.has(outcome.status)) return outcome;
    outcome.body.stream.destroy();
    url = redirectTarget(url, outcome.headers.location);
  }
  throw new AppError('usage', `${get.url.host} redirects more than ${MAX_REDIRECTS} times.`);
}

function redirectTarget(from: URL, location: string | undefined): URL {
  if (location === undefined || !URL.canParse(location, from.href)) throw new AppError('usage', `${from.host} redirects to no address.`);
  const target = new URL(location, from);
  const isSafe = target.protocol === 'https:' || (target.protocol === 'http:' && from.protocol === 'http:');
  if (!isSafe)
    throw new AppError('usage', `${from.host} redirects to a ${target.protocol} address, which is not followed from ${from.protocol}.`);
  return target;
}

function openOnce(url: URL, headers: Readonly<Record<string, string>>, limits: HttpLimits): Promise<HttpOutcome> {
  return new Promise((resolve) => {
    let connected = false;
    const isSecure = url.protocol === 'https:';
    const options = { method: 'GET', headers, agent: false } as const;
    const request = isSecure ? requestHttps(url, options) : requestHttp(url, options);
    const connectTimer = setTimeout(() => {
      request.destroy(new Error(`no connection within ${limits.connectTimeoutMs / 1000} s`));
    }, limits.connectTimeoutMs);
    request.once('socket', (socket) => {
      socket.once(isSecure ? 'secureConnect' : 'connect', () => {
        connected = true;
        clearTimeout(connectTimer);
      });
    });
    request.setTimeout(limits.idleTimeoutMs, () => {
      if (connected) request.destroy(new Error(`no data for ${limits.idleTimeoutMs / 1000} s`));
    });
    request.once('response', (message) => {
      resolve({ kind: 'answer', status: message.statusCode ?? 0, headers: message.headers, body: keptBody(message) });
    });
    request.on('error', (error) => {
      clearTimeout(connectTimer);
      resolve({ kind: 'failed', connected, reason: describeError(error) });
    });
    request.end();
  });
}

/** An answer's body. A cut connection ends it early, after all that had arrived: the message itself would drop what it still holds (Node 22). */
export interface HttpBody {
  readonly stream: Readable;
  /** To be asked at the end of the stream. */
  readonly isCut: () => boolean;
}

function keptBody(message: IncomingMessage): HttpBody {
  const stream = new PassThrough();
  let cut = false;
  message.on('error', () => {
    cut = true;
    stream.end();
  });
  stream.once('close', () => message.destroy());
  return { stream: message.pipe(stream), isCut: () => cut };
}
