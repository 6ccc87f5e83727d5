// The raw bytes of every token of a vocabulary, by the tokenizer's decoder: GPT-2's byte alphabet, or SentencePiece's U+2581 for a space with
// byte tokens such as <0x0A>. Decoding text is then joining bytes, whatever the family.
import { bytesFromAlphabet } from './byte-alphabet.ts';
import { isRecord, type JsonRecord } from './json.ts';
import { refuseTokenizer, type CheckedTokenizer } from './tokenizer-definition.ts';

export interface TokenBytes {
  /** Indexed by token id; ids that the vocabulary skips have no bytes. */
  readonly bytes: readonly Uint8Array[];
  /** Decoding drops one leading space, which encoding had put there. */
  readonly dropsLeadingSpace: boolean;
}

type DecoderKind =
  | { readonly kind: 'byte-level' }
  | { readonly kind: 'metaspace'; readonly byteFallback: boolean; readonly drops: boolean };

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;
const encoder = new TextEncoder();

export function tokenBytesTable(tokenizer: CheckedTokenizer): TokenBytes {
  const decoder = readDecoder(tokenizer.decoder);
  const bytes: Uint8Array[] = Array.from({ length: tokenizer.vocabularySize }, () => new Uint8Array(0));
  for (const [token, id] of tokenizer.vocabulary) bytes[id] = bytesOf(token, decoder);
  // Added tokens stand for their written form.
  for (const { id, content } of tokenizer.addedTokens) bytes[id] = encoder.encode(content);
  return { bytes, dropsLeadingSpace: decoder.kind === 'metaspace' && decoder.drops };
}

function bytesOf(token: string, decoder: DecoderKind): Uint8Array {
  if (decoder.kind === 'byte-level') return bytesFromAlphabet(token) ?? encoder.encode(token);
  const byteToken = decoder.byteFallback ? BYTE_TOKEN.exec(token)?.[1] : undefined;
  if (byteToken !== undefined) return Uint8Array.of(Number.parseInt(byteToken, 16));
  return encoder.encode(token.replaceAll('\u2581', ' '));
}

function readDecoder(decoder: JsonRecord | null): DecoderKind {
  if (decoder === null) return refuseTokenizer('it has no decoder');
  const steps = flatten(decoder);
  const types = steps.map((step) => String(step['type']));
  if (types.includes('ByteLevel') && types.length === 1) return { kind: 'byte-level' };
  let byteFallback = false;
  let drops = false;
  let replaces = false;
  for (const step of steps) {
    switch (step['type']) {
      case 'Replace':
        checkReplace(step);
        replaces = true;
        break;
      case 'Metaspace':
        replaces = true;
        drops = step['prepend_scheme'] === undefined ? step['add_prefix_space'] !== false : step['prepend_scheme'] !== 'never';
        break;
      case 'ByteFallback':
        byteFallback = true;
        break;
      case 'Fuse':
        break;
      case 'Strip':
        drops = checkStrip(step);
        break;
      default:
        refuseTokenizer(`decoder ${types.join(' + ')} is not supported`);
    }
  }
  if (!replaces) refuseTokenizer(`decoder ${types.join(' + ')} is not supported`);
  return { kind: 'metaspace', byteFallback, drops };
}

function flatten(decoder: JsonRecord): JsonRecord[] {
  if (decoder['type'] !== 'Sequence') return [decoder];
  if (!Array.isArray(decoder['decoders'])) refuseTokenizer('decoders must be a list');
  return (decoder['decoders'] as readonly unknown[]).flatMap((step) => {
    if (!isRecord(step)) refuseTokenizer('decoders holds something that is not an object');
    return flatten(step);
  });
}

function checkReplace(step: JsonRecord): void {
  const pattern = isRecord(step['pattern']) ? step['pattern']['String'] : undefined;
  if (pattern !== '\u2581' || step['content'] !== ' ') {
    refuseTokenizer(`decoder Replace of ${JSON.stringify(pattern)} by ${JSON.stringify(step['content'])} is not supported`);
  }
}

function checkStrip(step: JsonRecord): boolean {
  const { content, start, stop } = step;
  if (content !== ' ' || (start !== 0 && start !== 1) || stop !== 0) {
    refuseTokenizer(`decoder Strip ${JSON.stringify({ content, start, stop })} is not supported; expected at most one leading space`);
  }
  return start === 1;
}
