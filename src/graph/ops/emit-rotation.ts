// Values turned block by block by a Hadamard matrix, before they are rounded.
import type { Value } from '../ir/graph.ts';
import { hadamard } from '../ir/hadamard.ts';
import { constant, type RotationSize } from '../ir/recipe.ts';
import type { Emitter } from './emitter.ts';
import { dim } from './shapes.ts';

/** Every block of the last axis times a Hadamard matrix; x itself where `size` is null. */
export function emitRotation(emitter: Emitter, x: Value, size: RotationSize | null): Value {
  if (size === null) return x;
  const { graph } = emitter;
  const reshaped = (value: Value, shape: readonly number[], name: string): Value =>
    emitter.emit('Reshape', [value, graph.initializer(constant(BigInt64Array.from(shape, BigInt)))], {}, { name });
  const kept = x.shape.slice(0, -1).map(() => 0);
  const width = dim(x.shape, -1);
  if (typeof width !== 'number') throw new Error(`${x.name} has rows of ${width}, expected a number`);
  const blocks = reshaped(x, [...kept, width / size, size], 'blocks');
  const turned = emitter.emit('MatMul', [blocks, graph.initializer(constant(hadamard(size), [size, size]))], {}, { name: 'turned' });
  return reshaped(turned, [...kept, width], 'rotated');
}
