// The AppError that some work ends with, so that a test can look at its code and message.
import { isAppError, type AppError } from '../../src/core/index.ts';

/** Runs the work and answers its refusal. Fails the test when it succeeds, or throws anything but an AppError. */
export async function refusalOf(work: () => unknown): Promise<AppError> {
  try {
    await work();
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
  throw new Error('expected a refusal, but it succeeded');
}
