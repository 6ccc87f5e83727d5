// The three dialects that errors are written in, chosen by path, and how one AppError looks in each.
import { ERROR_CODES, type AppError } from '../core/index.ts';

export type Surface = 'openai' | 'tgi' | 'problem';

export function surfaceOf(url: string): Surface {
  if (url.startsWith('/v1/')) return 'openai';
  return url.startsWith('/admin/') ? 'problem' : 'tgi';
}

export interface RenderedError {
  readonly status: number;
  readonly contentType: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export function renderError(error: AppError, surface: Surface): RenderedError {
  const row: { status: number; openai: string; tgi: string; tgiStatus?: number } = ERROR_CODES[error.code];
  switch (surface) {
    case 'openai':
      return {
        status: row.status,
        contentType: 'application/json; charset=utf-8',
        body: { error: { message: error.message, type: row.openai, param: error.param ?? null, code: error.code } },
      };
    case 'tgi':
      return {
        status: row.tgiStatus ?? row.status,
        contentType: 'application/json; charset=utf-8',
        body: { error: error.message, error_type: row.tgi },
      };
    case 'problem':
      return {
        status: row.status,
        contentType: 'application/problem+json; charset=utf-8',
        body: {
          type: `urn:lorikeet:error:${error.code}`,
          title: error.code.replaceAll('_', ' '),
          status: row.status,
          detail: error.message,
          code: error.code,
          param: error.param ?? null,
        },
      };
  }
}
