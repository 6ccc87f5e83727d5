// The parts of a multipart body, one after the other, with every failure of the form as the client's.
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import { AppError, describeError } from '../core/index.ts';
import { shownContentType } from './content-type.ts';

/**
 * @param expected - what the form should hold, for messages.
 * @param fileBytes - bytes of one file; a larger one is truncated. Absent: the app's own limit.
 * @throws AppError `unsupported_media_type` or `invalid_request` before or between parts.
 */
export async function* formParts(request: FastifyRequest, expected: string, fileBytes?: number): AsyncGenerator<Multipart> {
  if (!request.isMultipart()) {
    throw new AppError(
      'unsupported_media_type',
      `got content type ${shownContentType(request)}, expected multipart/form-data with ${expected}`,
    );
  }
  try {
    yield* request.parts(fileBytes === undefined ? {} : { limits: { fileSize: fileBytes } });
  } catch (error) {
    throw formError(error, expected);
  }
}

/** The bytes of a part as they come. @throws AppError as `formParts`. */
export async function* partBytes(part: MultipartFile, expected: string): AsyncGenerator<unknown> {
  try {
    yield* part.file;
  } catch (error) {
    throw formError(error, expected);
  }
}

/** The plugin's own errors have a status. The others come from the parser below it, whose only input is the client's form. */
function formError(error: unknown, expected: string): unknown {
  if (error instanceof Error && 'statusCode' in error) return error;
  const message = `the form cannot be read (${describeError(error)}); expected multipart/form-data with a boundary, whole, with ${expected}`;
  return new AppError('invalid_request', message, { cause: error });
}
