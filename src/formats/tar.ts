// Writes a tar archive (POSIX ustar) of a few plain files. Equal content, equal bytes.

export interface TarFile {
  /** Plain name of at most 100 ASCII characters. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK_BYTES = 512;

/** @param modifiedAtMs - time of every file, since the epoch. */
export function writeTar(files: readonly TarFile[], modifiedAtMs: number): Uint8Array {
  const parts = files.flatMap(({ name, bytes }) => [header(name, bytes.byteLength, modifiedAtMs), bytes, padding(bytes.byteLength)]);
  return new Uint8Array(Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]));
}

/** Fields by offset; numbers in octal digits and a NUL. The checksum counts its own field as eight spaces. */
function header(name: string, byteLength: number, modifiedAtMs: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, offset: number, digits: number): number =>
    block.write(Math.floor(value).toString(8).padStart(digits, '0'), offset, 'latin1');
  block.write(name, 0, 100, 'latin1');
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(byteLength, 124, 11);
  octal(modifiedAtMs / 1000, 136, 11);
  block.write(' '.repeat(8), 148, 'latin1');
  block.write('0', 156, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  block[154] = 0;
  return block;
}

function padding(byteLength: number): Buffer {
  return Buffer.alloc(Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES - byteLength);
}
