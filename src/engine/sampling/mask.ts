// A grammar's mask over the logits of one row.

/** In place: -Infinity where the token's bit (id % 32 of word id / 32) is not set. Ids behind the mask are not set. */
export function applyMask(logits: Float32Array, mask: Int32Array): void {
  for (let word = 0; word * 32 < logits.length; word += 1) {
    const bits = mask[word] ?? 0;
    if (bits === -1) continue;
    const start = word * 32;
    const end = Math.min(start + 32, logits.length);
    if (bits === 0) logits.fill(-Infinity, start, end);
    else for (let id = start; id < end; id += 1) if (((bits >>> (id - start)) & 1) === 0) logits[id] = -Infinity;
  }
}
