// The error of every reader in this room: the bytes are not what their format allows. Knows nothing of requests; callers translate it.

/** Malformed or unsupported bytes. The message names the problem, quotes at most a few characters of the input, and holds no path. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  /** What was being read, for example `safetensors` or `gguf`. */
  readonly format: string;

  constructor(format: string, message: string) {
    super(`${format}: ${message}`);
    this.format = format;
  }
}
