// HTTP to a Lorikeet server: base address, key, and the three error shapes turned back into one AppError.
import { AppError, type ErrorCode, isErrorCode } from '../core/index.ts';
import type { CommandContext } from './context.ts';

export const DEFAULT_URL = 'http://127.0.0.1:8080';

export interface ServerOptions {
  readonly url?: string;
}

export interface ServerRequest {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly body?: FormData | Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ServerClient {
  readonly url: string;
  /** JSON body of the answer; null when it has none. `path` starts with "/" and is already encoded. */
  json(path: string, request?: ServerRequest): Promise<unknown>;
  /** The whole response, for bodies that are streamed and for headers. Its status is a success. */
  response(path: string, request?: ServerRequest): Promise<Response>;
}

/** The address comes from --url, else LORIKEET_URL, else the local default; the key from LORIKEET_API_KEY. */
export function serverClient(context: CommandContext, options: ServerOptions): ServerClient {
  const url = parseUrl(options.url ?? context.environment['LORIKEET_URL'] ?? DEFAULT_URL);
  const key = context.environment['LORIKEET_API_KEY'];
  const response = async (path: string, request: ServerRequest = {}): Promise<Response> => {
    const { method = 'GET', body, headers = {} } = request;
    const isForm = body instanceof FormData;
    const answer = await send(url, path, {
      method,
      headers: {
        accept: 'application/json',
        ...(key && { authorization: `Bearer ${key}` }),
        ...(body && !isForm && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body: isForm ? body : JSON.stringify(body) }),
    });
    if (!answer.ok) throw await failure(answer, key !== undefined);
    return answer;
  };
  const json = async (path: string, request?: ServerRequest): Promise<unknown> => {
    const text = await (await response(path, request)).text();
    return text === '' ? null : (JSON.parse(text) as unknown);
  };
  return { url, json, response };
}

function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new AppError('usage', `--url "${text}" is no http or https address; expected one like ${DEFAULT_URL}`);
  }
  return url.href.replace(/\/+$/, '');
}

async function send(url: string, path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url + path, init);
  } catch (cause) {
    throw new AppError(
      'engine_unavailable',
      `no server answers at ${url}${reason(cause)}; start one with "lorikeet serve" or name another with --url`,
      { cause },
    );
  }
}

/** Node's fetch hides the system's own code in the cause of a TypeError. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
}

async function failure(answer: Response, hasKey: boolean): Promise<AppError> {
  const { message, code } = readError(await answer.text());
  const advice: Partial<Record<number, string>> = {
    401: hasKey ? '; LORIKEET_API_KEY holds a key that this server does not know' : '; set LORIKEET_API_KEY to a key of this server',
    403: '; use a key with a higher role',
  };
  return new AppError(code, `${message ?? `the server answered ${answer.status}`}${advice[answer.status] ?? ''}`);
}

/** Reads `{error: {message, code}}` (OpenAI), `{error: text, error_type}` (TGI) and `{detail, code}` (problem+json). */
function readError(text: string): { readonly message: string | null; readonly code: ErrorCode } {
  const body = asRecord(parseJson(text));
  const inner = asRecord(body['error']);
  const message = [inner['message'], body['error'], body['detail'], body['title']].find((value) => typeof value === 'string');
  const code = [inner['code'], body['code'], body['error_type']].find((value) => typeof value === 'string' && isErrorCode(value));
  return { message: message ?? null, code: code ?? 'internal' };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An object's fields; no fields for anything else. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
