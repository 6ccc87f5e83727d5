// The packed form of an adapter: what the engine reads without parsing. Pure layout knowledge.
// File: 8-byte magic, uint32 header length, JSON header, then 64-byte aligned little-endian float32 arrays.
import type { Digest } from '../core/index.ts';

/** A float32 array in the packed file. */
export interface PackedArray {
  /** Bytes from the start of the file, a multiple of 64. */
  readonly offset: number;
  /** Number of float32 values. */
  readonly length: number;
}

/**
 * One place of the base that the adapter changes. For a Linear with weight W [out, in]:
 * y = gain * (W x) + (x A) B + bias, where the LoRA scale (and DoRA's gain) is already folded into B and bias. The base's own bias, if
 * it has one, is added after that: the gain does not touch it.
 * For the embedding: y[id] = gain * W[id] + A[id] B.
 */
export interface PackedSite {
  /** Site id of the base's description, for example `layers.3.q`, `embed`, `head`. */
  readonly site: string;
  /** Rank r of A and B at this site; 0 where only the bias changes. */
  readonly rank: number;
  /** Linear and head: [in, r]. Embedding: [vocabulary, r]. */
  readonly a: PackedArray;
  /** [r, out], scale folded. */
  readonly b: PackedArray;
  /** DoRA: m / ||W + s BA||, [out]. */
  readonly gain?: PackedArray;
  /** What is added to the output, [out]: scale * bias of lora_B (lora_bias), and by how much the base's own bias was trained away. */
  readonly bias?: PackedArray;
}

/** A tensor of the base that the adapter replaces (modules_to_save). Only a merged model can hold it. */
export interface PackedFullPart {
  /** Name in the checkpoint, for example `model.norm.weight`; `lm_head.weight` also where the base's head is tied. */
  readonly tensor: string;
  /** Row-major, of the base tensor's shape. */
  readonly values: PackedArray;
}

export interface PackedHeader {
  readonly format: 'lorikeet-adapter';
  readonly version: 1;
  readonly kind: 'lora';
  /** Digest of the base weights that it was validated against and, for DoRA, whose norms it holds. */
  readonly baseDigest: Digest;
  readonly sites: readonly PackedSite[];
  /** Not empty: the sites alone are not the adapter, so nothing but a merge may apply it. */
  readonly full?: readonly PackedFullPart[];
}

export interface PackedAdapter {
  readonly header: PackedHeader;
  /** The whole file; arrays are views into it. */
  readonly bytes: Uint8Array;
}

export const PACKED_ALIGNMENT = 64;
const MAGIC = new TextEncoder().encode('LKTADPT1');

export function packedArray(adapter: PackedAdapter, array: PackedArray): Float32Array {
  return new Float32Array(adapter.bytes.buffer, adapter.bytes.byteOffset + array.offset, array.length);
}

/** What the writer takes: arrays by value instead of by offset. */
export interface PackedSiteContent {
  readonly site: string;
  readonly rank: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly gain?: Float32Array;
  readonly bias?: Float32Array;
}

/** A full part by value. */
export interface PackedFullContent {
  readonly tensor: string;
  readonly values: Float32Array;
}

/** Lays out a packed adapter; deterministic for equal content. */
export function encodePacked(
  baseDigest: Digest,
  sites: readonly PackedSiteContent[],
  fullParts: readonly PackedFullContent[] = [],
): Uint8Array {
  const arrays: Float32Array[] = [];
  let dataBytes = 0;
  const place = (values: Float32Array): PackedArray => {
    const offset = dataBytes;
    arrays.push(values);
    dataBytes = align(dataBytes + values.byteLength);
    return { offset, length: values.length };
  };
  const relative = sites.map((content): PackedSite => ({
    site: content.site,
    rank: content.rank,
    a: place(content.a),
    b: place(content.b),
    ...(content.gain && { gain: place(content.gain) }),
    ...(content.bias && { bias: place(content.bias) }),
  }));
  const full = fullParts.map(({ tensor, values }): PackedFullPart => ({ tensor, values: place(values) }));
  const header = encodeHeader({
    format: 'lorikeet-adapter',
    version: 1,
    kind: 'lora',
    baseDigest,
    sites: relative,
    ...(full.length > 0 && { full }),
  });
  const dataStart = align(MAGIC.length + 4 + header.length);
  const bytes = new Uint8Array(dataStart + dataBytes);
  bytes.set(MAGIC, 0);
  new DataView(bytes.buffer).setUint32(MAGIC.length, header.length, true);
  bytes.set(header, MAGIC.length + 4);
  let cursor = dataStart;
  for (const values of arrays) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), cursor);
    cursor = align(cursor + values.byteLength);
  }
  return bytes;
}

/**
 * Reads a packed file. `bytes` must start on a 4-byte boundary of its buffer.
 * @throws Error when the file is not a complete packed adapter (the store is damaged; uploads never reach this).
 */
export function decodePacked(bytes: Uint8Array): PackedAdapter {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < MAGIC.length + 4 || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new Error('packed adapter: wrong magic');
  }
  const headerLength = view.getUint32(MAGIC.length, true);
  const headerStart = MAGIC.length + 4;
  if (headerStart + headerLength > bytes.length) throw new Error('packed adapter: header is cut off');
  const text = new TextDecoder().decode(bytes.subarray(headerStart, headerStart + headerLength));
  const stored = JSON.parse(text) as PackedHeader;
  const dataStart = align(headerStart + headerLength);
  const absolute = (array: PackedArray): PackedArray => {
    const offset = dataStart + array.offset;
    if (offset + array.length * 4 > bytes.length) throw new Error('packed adapter: data is cut off');
    return { offset, length: array.length };
  };
  const sites = stored.sites.map((site): PackedSite => ({
    site: site.site,
    rank: site.rank,
    a: absolute(site.a),
    b: absolute(site.b),
    ...(site.gain && { gain: absolute(site.gain) }),
    ...(site.bias && { bias: absolute(site.bias) }),
  }));
  const full = stored.full?.map(({ tensor, values }): PackedFullPart => ({ tensor, values: absolute(values) }));
  return { header: { ...stored, sites, ...(full && { full }) }, bytes };
}

function encodeHeader(header: PackedHeader): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(header));
}

function align(offset: number): number {
  return Math.ceil(offset / PACKED_ALIGNMENT) * PACKED_ALIGNMENT;
}
