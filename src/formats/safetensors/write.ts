// Writes safetensors files as the reference library does: wide types first, then by name, header padded to 8 bytes. Equal content, equal bytes.
import { FLOAT_BYTES } from '../float-bytes.ts';
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import { LENGTH_BYTES } from './header.ts';
import { requireTensorName } from './tensor-name.ts';
import { CHECKPOINT_LIMITS, type SafetensorsDtype, type SafetensorsTensor } from './tensor.ts';

/** The reference sorts by its list of types, descending; BF16 stands after F16 there. */
const DTYPE_ORDER: Readonly<Record<SafetensorsDtype, number>> = { F32: 0, BF16: 1, F16: 2 };

/**
 * Encodes tensors and string metadata (sorted by key; PEFT writes `format: "pt"`).
 * @throws FormatError when a name is used twice or reserved, or bytes do not match dtype and shape.
 */
export function writeSafetensors(tensors: Iterable<SafetensorsTensor>, metadata: ReadonlyMap<string, string> = new Map()): Uint8Array {
  const ordered = [...tensors].toSorted(
    (left, right) => DTYPE_ORDER[left.dtype] - DTYPE_ORDER[right.dtype] || compareBytes(left.name, right.name),
  );
  for (const tensor of ordered) requireMatchingBytes(tensor);
  const header = encodeHeader(
    ordered.map(({ bytes, ...rest }) => ({ ...rest, byteLength: bytes.byteLength })),
    metadata,
  );
  const dataBytes = ordered.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0);
  const file = new Uint8Array(LENGTH_BYTES + header.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  file.set(header, LENGTH_BYTES);
  let cursor = LENGTH_BYTES + header.byteLength;
  for (const { bytes } of ordered) {
    file.set(bytes, cursor);
    cursor += bytes.byteLength;
  }
  return file;
}

/** The header of tensors that lie one after another. @throws FormatError when a name is used twice or reserved. */
export function encodeHeader(
  ordered: readonly (Omit<SafetensorsTensor, 'bytes'> & { readonly byteLength: number })[],
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const members: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].toSorted(([left], [right]) => compareBytes(left, right));
    members.push(`"__metadata__":{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`);
  }
  const seen = new Set<string>();
  let begin = 0;
  for (const tensor of ordered) {
    const { name, dtype, shape, byteLength } = tensor;
    if (seen.has(name)) throw new FormatError('safetensors', `tensor name ${quoted(name)} is used twice`);
    seen.add(name);
    requireTensorName(name, CHECKPOINT_LIMITS.nameBytes);
    const end = begin + byteLength;
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const json = Buffer.from(`{${members.join(',')}}`);
  const header = new Uint8Array(Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  header.set(json);
  return header;
}

function requireMatchingBytes({ name, dtype, shape, bytes }: SafetensorsTensor): void {
  const expected = shape.reduce((product, size) => product * size, FLOAT_BYTES[dtype]);
  if (expected !== bytes.byteLength) {
    throw new FormatError(
      'safetensors',
      `tensor ${quoted(name)}: ${dtype} of shape [${shape.join(', ')}] needs ${expected} bytes, got ${bytes.byteLength}`,
    );
  }
}

/** Order of UTF-8 bytes, as the reference sorts names. */
function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
