// The one error type and the one code table. Rooms throw AppError for what a caller did wrong or may retry; http/ renders it per surface.

interface CodeRow {
  readonly status: number;
  /** `error.type` on the OpenAI surface. */
  readonly openai: string;
  /** `error_type` on the TGI surface. */
  readonly tgi: string;
  /** Status on the TGI surface where it differs. */
  readonly tgiStatus?: number;
}

export const ERROR_CODES = {
  invalid_request: { status: 400, openai: 'invalid_request_error', tgi: 'validation', tgiStatus: 422 },
  context_length_exceeded: { status: 400, openai: 'invalid_request_error', tgi: 'validation', tgiStatus: 422 },
  unsupported_parameter: { status: 400, openai: 'invalid_request_error', tgi: 'validation', tgiStatus: 422 },
  unauthorized: { status: 401, openai: 'authentication_error', tgi: 'unauthorized' },
  forbidden: { status: 403, openai: 'permission_error', tgi: 'forbidden' },
  not_found: { status: 404, openai: 'not_found_error', tgi: 'not_found' },
  adapter_not_found: { status: 404, openai: 'not_found_error', tgi: 'adapter_not_found' },
  method_not_allowed: { status: 405, openai: 'invalid_request_error', tgi: 'validation' },
  precondition_failed: { status: 412, openai: 'precondition_failed', tgi: 'validation' },
  precondition_required: { status: 428, openai: 'precondition_required', tgi: 'validation' },
  payload_too_large: { status: 413, openai: 'invalid_request_error', tgi: 'validation' },
  unsupported_media_type: { status: 415, openai: 'invalid_request_error', tgi: 'validation' },
  conflicting_reference: { status: 422, openai: 'invalid_request_error', tgi: 'validation' },
  invalid_adapter: { status: 422, openai: 'invalid_request_error', tgi: 'validation' },
  unsupported_adapter: { status: 422, openai: 'invalid_request_error', tgi: 'validation' },
  rate_limited: { status: 429, openai: 'rate_limit_error', tgi: 'overloaded' },
  conflict: { status: 409, openai: 'conflict_error', tgi: 'validation' },
  internal: { status: 500, openai: 'server_error', tgi: 'generation' },
  generation_failed: { status: 500, openai: 'server_error', tgi: 'generation', tgiStatus: 424 },
  overloaded: { status: 503, openai: 'overloaded_error', tgi: 'overloaded' },
  engine_unavailable: { status: 503, openai: 'server_error', tgi: 'unavailable' },
  /** A command-line or configuration mistake; never sent over HTTP. */
  usage: { status: 400, openai: 'invalid_request_error', tgi: 'validation' },
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

export interface ErrorDetails {
  /** The request field that was wrong, as the client spelled it. */
  readonly param?: string;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/**
 * An expected failure with a message that is safe to show to the caller: it says what came and what was expected,
 * and names no path, key or other tenant.
 */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

export function isAppError(error: unknown): error is AppError {
  return error instanceof AppError;
}

/** Text of any thrown thing, for logs. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
