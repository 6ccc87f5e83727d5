// What is asked of every tensor of an upload: its shape, and values that are finite numbers.
import { AppError } from '../core/index.ts';
import { findNonFinite, tensorToFloat32, type SafetensorsTensor } from '../formats/index.ts';

/** @throws AppError `invalid_adapter` with both shapes. */
export function requireShape(tensor: SafetensorsTensor, expected: readonly number[]): void {
  if (hasShape(tensor, expected)) return;
  throw new AppError(
    'invalid_adapter',
    `tensor ${JSON.stringify(tensor.name)} has shape ${shownShape(tensor.shape)}, expected ${shownShape(expected)}`,
  );
}

export function hasShape(tensor: SafetensorsTensor, expected: readonly number[]): boolean {
  return tensor.shape.length === expected.length && tensor.shape.every((size, index) => size === expected[index]);
}

export function shownShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** @throws AppError `invalid_adapter` for the first NaN or infinity. */
export function finiteValues(tensor: SafetensorsTensor): Float32Array {
  const values = tensorToFloat32(tensor);
  const index = findNonFinite(values);
  if (index === undefined) return values;
  throw new AppError(
    'invalid_adapter',
    `tensor ${JSON.stringify(tensor.name)}: value ${index} is ${values[index]}, expected finite numbers`,
  );
}
