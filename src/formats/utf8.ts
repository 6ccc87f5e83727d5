// Strict UTF-8: what is not valid is refused, never replaced. A byte order mark stays in the text, so that parsers see and refuse it.

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of `bytes`, or undefined when they are not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
