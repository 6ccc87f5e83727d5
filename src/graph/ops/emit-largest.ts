import { int, ints } from '../ir/attributes.ts';
import type { Value } from '../ir/graph.ts';
import type { Emitter } from './emitter.ts';

/** max |x| over some axes, which become 1 long: reading x twice costs a third of writing |x|, for long calls. */
export function emitLargest(emitter: Emitter, x: Value, axes: readonly number[]): Value {
  const over = { axes: ints(axes), keepdims: int(1) };
  const lowest = emitter.emit('ReduceMin', [x], over, { name: 'lowest' });
  const highest = emitter.emit('ReduceMax', [x], over, { name: 'highest' });
  return emitter.emit('Max', [highest, emitter.emit('Neg', [lowest])], {}, { name: 'largest' });
}
