// The largest of many values, best first, without sorting them all where few are wanted.

/** Up to this many, a bounded heap over one scan beats the sort. */
const HEAP_LIMIT = 512;
/** Ids take 21 bits below the 32 of the value: the key stays an exact integer in a double. */
const ID_SPAN = 2 ** 21;
const BLOCK = 16;

/** Index of the largest value, the first of equals; -1 when no value is above -Infinity (all -Infinity or NaN). */
export function argmax(values: Float32Array): number {
  let bestId = -1;
  let best = -Infinity;
  for (let id = nextAbove(values, 0, best); id < values.length; id = nextAbove(values, id + 1, best)) {
    bestId = id;
    best = values[id] as number;
  }
  return bestId;
}

/** Index of the first value above `floor` from `start` on; `values.length` when there is none. */
function nextAbove(values: Float32Array, start: number, floor: number): number {
  let id = start;
  while (id + BLOCK <= values.length && !blockIsAbove(values, id, floor)) id += BLOCK;
  while (id < values.length && !((values[id] as number) > floor)) id += 1;
  return id;
}

/** Whether one of the next `BLOCK` values is above `floor`: written out, it takes a quarter of the time of a loop. */
function blockIsAbove(values: Float32Array, id: number, floor: number): boolean {
  return (
    quarterIsAbove(values, id, floor) ||
    quarterIsAbove(values, id + 4, floor) ||
    quarterIsAbove(values, id + 8, floor) ||
    quarterIsAbove(values, id + 12, floor)
  );
}

function quarterIsAbove(values: Float32Array, id: number, floor: number): boolean {
  return (
    (values[id] as number) > floor ||
    (values[id + 1] as number) > floor ||
    (values[id + 2] as number) > floor ||
    (values[id + 3] as number) > floor
  );
}

/**
 * Ids of the `count` largest values, best first, equals by lower id. -Infinity and NaN never count, so there may be fewer.
 * At most 2^21 values.
 */
export function selectTop(values: Float32Array, count: number): Uint32Array {
  return count <= HEAP_LIMIT ? selectByHeap(values, count) : selectBySort(values, count);
}

function selectByHeap(values: Float32Array, count: number): Uint32Array {
  if (count < 1) return new Uint32Array(0);
  const heap = new Uint32Array(Math.min(count, values.length));
  let size = 0;
  let worst = -Infinity;
  for (let id = nextAbove(values, 0, worst); id < values.length; id = nextAbove(values, id + 1, worst)) {
    if (size < heap.length) {
      heap[size] = id;
      size += 1;
      siftUp(heap, size - 1, values);
    } else {
      heap[0] = id;
      siftDown(heap, values);
    }
    if (size === heap.length) worst = values[heap[0] as number] as number;
  }
  return heap.subarray(0, size).sort((left, right) => (values[right] as number) - (values[left] as number) || left - right);
}

/** Root of the heap is the candidate to give up: the smallest value and, among equals, the highest id. */
function givesUpBefore(left: number, right: number, values: Float32Array): boolean {
  const difference = (values[left] as number) - (values[right] as number);
  return difference === 0 ? left > right : difference < 0;
}

function siftUp(heap: Uint32Array, start: number, values: Float32Array): void {
  const id = heap[start] as number;
  let slot = start;
  while (slot > 0) {
    const parent = (slot - 1) >> 1;
    if (!givesUpBefore(id, heap[parent] as number, values)) break;
    heap[slot] = heap[parent] as number;
    slot = parent;
  }
  heap[slot] = id;
}

function siftDown(heap: Uint32Array, values: Float32Array): void {
  const id = heap[0] as number;
  let slot = 0;
  for (let child = 1; child < heap.length; child = 2 * slot + 1) {
    if (child + 1 < heap.length && givesUpBefore(heap[child + 1] as number, heap[child] as number, values)) child += 1;
    if (!givesUpBefore(heap[child] as number, id, values)) break;
    heap[slot] = heap[child] as number;
    slot = child;
  }
  heap[slot] = id;
}

function selectBySort(values: Float32Array, count: number): Uint32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const keys = new Float64Array(values.length);
  let size = 0;
  for (let id = 0; id < values.length; id += 1) {
    if (!((values[id] as number) > -Infinity)) continue;
    keys[size] = orderedBits(bits[id] as number) * ID_SPAN + (ID_SPAN - 1 - id);
    size += 1;
  }
  const sorted = keys.subarray(0, size).sort();
  const ids = new Uint32Array(Math.min(count, size));
  for (let rank = 0; rank < ids.length; rank += 1) ids[rank] = ID_SPAN - 1 - ((sorted[size - 1 - rank] as number) % ID_SPAN);
  return ids;
}

/** Maps the bits of a float32 to an unsigned integer of the same order; both zeros map to one. */
function orderedBits(bits: number): number {
  if (bits === 0x80000000) return 0x80000000;
  return bits >>> 31 === 1 ? ~bits >>> 0 : bits + 0x80000000;
}
