// The original weights of a base, under Hugging Face's names, whatever file they came in. Reads one tensor at a time.
import { describeError, isAppError } from '../core/index.ts';

export interface CheckpointTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface Checkpoint extends AsyncDisposable {
  has(name: string): boolean;
  /** @throws Error naming the tensor when it is missing or its bytes are not what its type says. */
  read(name: string): Promise<CheckpointTensor>;
  close(): Promise<void>;
}

/** The last few tensors are asked for again when a weight is stored in parts; they are kept. */
export function withRecent(checkpoint: Checkpoint, keep: number): Checkpoint {
  const recent = new Map<string, CheckpointTensor>();
  const read = async (name: string): Promise<CheckpointTensor> => {
    const known = recent.get(name);
    if (known) return known;
    const tensor = await checkpoint.read(name).catch((cause: unknown) => {
      // What is said to a user names its tensor already.
      throw isAppError(cause) ? cause : new Error(`weight ${name}: ${describeError(cause)}`, { cause });
    });
    recent.set(name, tensor);
    const [oldest] = recent.keys();
    if (recent.size > keep && oldest !== undefined) recent.delete(oldest);
    return tensor;
  };
  return { has: (name) => checkpoint.has(name), read, close: () => checkpoint.close(), [Symbol.asyncDispose]: () => checkpoint.close() };
}
