// Random numbers of a job. Each purpose has a stream of its own, and a draw depends on seed, purpose and number alone: no state has to be kept.
import { philox2x32, uniform } from '../../core/index.ts';

export interface RandomStream {
  /** Uniform in [0, 1), draw number `index`. */
  uniform(index: number): number;
  /** Fills with normal values of this standard deviation. */
  fillNormal(values: Float32Array | Float64Array, deviation: number): void;
}

/** @param purpose for example `init model.layers.0.self_attn.q_proj`. */
export function randomStream(seed: number, purpose: string): RandomStream {
  const [key] = philox2x32(fnv1a(purpose), purpose.length, seed);
  return {
    uniform: (index) => uniform(key, index),
    fillNormal(values, deviation) {
      for (let index = 0; index < values.length; index += 2) {
        // Box and Muller (1958); 1 - u keeps the logarithm finite.
        const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform(key, index)));
        const angle = 2 * Math.PI * uniform(key, index + 1);
        values[index] = radius * Math.cos(angle);
        if (index + 1 < values.length) values[index + 1] = radius * Math.sin(angle);
      }
    },
  };
}

/** 0 to count - 1 in an order that only the stream decides (Fisher and Yates). */
export function shuffled(count: number, stream: RandomStream): Int32Array {
  const order = Int32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last -= 1) {
    const chosen = Math.floor(stream.uniform(last) * (last + 1));
    const moved = order[last] ?? 0;
    order[last] = order[chosen] ?? 0;
    order[chosen] = moved;
  }
  return order;
}

/** 32-bit hash of UTF-16 units (Fowler, Noll, Vo). */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
