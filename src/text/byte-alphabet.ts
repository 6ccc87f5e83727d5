// GPT-2's byte alphabet: every byte is written as one printable character, so that byte-level BPE vocabularies are plain strings.
// Source: bytes_to_unicode in OpenAI's GPT-2 encoder. Printable Latin-1 bytes stand for themselves, the others follow from U+0100 on.

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

function buildAlphabet(): string[] {
  let nextFree = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : nextFree++));
}

/** Character that stands for each byte, indexed by byte. */
const BYTE_CHARACTERS: readonly string[] = buildAlphabet();

const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

/** Bytes that a byte-level token stands for; undefined when a character of it is not in the alphabet. */
export function bytesFromAlphabet(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (const [index, character] of Array.from(token).entries()) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return undefined;
    bytes[index] = byte;
  }
  return bytes;
}
