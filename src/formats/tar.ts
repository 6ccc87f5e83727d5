// Writes and reads a tar archive (POSIX ustar) of a few plain files. Equal content, equal bytes.
import { FormatError } from './format-error.ts';

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

/** The files of an archive that `writeTar` wrote, by name; their bytes are views. @throws FormatError when it is cut off or holds other things. */
export function readTar(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (offset: number, length: number): string =>
    Buffer.from(archive.subarray(offset, offset + length))
      .toString('latin1')
      .split('\u0000', 1)[0] ?? '';
  for (let offset = 0; offset + BLOCK_BYTES <= archive.byteLength && text(offset, 100) !== '';) {
    const size = Number.parseInt(text(offset + 124, 12), 8);
    const start = offset + BLOCK_BYTES;
    if (text(offset + 257, 5) !== 'ustar' || text(offset + 156, 1) !== '0')
      throw new FormatError('tar', 'holds something else than plain files');
    if (!(size >= 0) || start + size > archive.byteLength) throw new FormatError('tar', `${text(offset, 100)} is cut off`);
    files.set(text(offset, 100), archive.subarray(start, start + size));
    offset = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return files;
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
