// The secret of an API key: its text form, its check and its digest. Nothing here is stored or logged but the digest.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Digest, Random } from '../core/index.ts';

const PREFIX = 'lk_';
const SECRET_BYTES = 32;
/** 62^43 > 2^256 and 62^6 > 2^32. */
const RANDOM_DIGITS = 43;
const CHECK_DIGITS = 6;
const SECRET = /^lk_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** `lk_`, 43 base-62 digits of 256 random bits, and 6 base-62 digits of their CRC-32, so that a scanner or a typing error is told apart from a key. */
export function createSecret(random: Random): string {
  const digits = base62(random.bytes(SECRET_BYTES), RANDOM_DIGITS);
  return `${PREFIX}${digits}${checkDigits(digits)}`;
}

/** Whether the text has the form of a secret; says nothing about whether such a key exists. */
export function isSecret(text: string): boolean {
  const match = SECRET.exec(text);
  return match !== null && checkDigits(match[1] ?? '') === match[2];
}

export function digestSecret(secret: string): Digest {
  return createHash('sha256').update(secret).digest('hex') as Digest;
}

/** Public id of a key: 72 random bits, unrelated to its secret. */
export function createKeyId(random: Random): string {
  return `key_${base62(random.bytes(9), 13)}`;
}

function checkDigits(digits: string): string {
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(digits));
  return base62(check, CHECK_DIGITS);
}

/** The bytes as one big-endian number, most significant digit first, padded with zeros. */
function base62(bytes: Uint8Array, digitCount: number): string {
  let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let digits = '';
  for (let index = 0; index < digitCount; index += 1) {
    digits = `${ALPHABET[Number(rest % 62n)] ?? ''}${digits}`;
    rest /= 62n;
  }
  return digits;
}
