// JSON (RFC 8259) from strangers: duplicate keys, deep nesting and lone surrogates are refused, objects are Maps in file order.
// JSON.parse would silently keep the last of two equal keys and reorder keys that look like numbers.
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';

export type JsonObject = ReadonlyMap<string, JsonValue>;
export type JsonArray = readonly JsonValue[];
export type JsonValue = null | boolean | number | string | JsonArray | JsonObject;

export interface JsonLimits {
  /** Nesting of arrays and objects. */
  readonly maxDepth: number;
  /** Values in the whole text, containers included. */
  readonly maxValues: number;
  /** Refuse every number that is not written as plain digits (no sign, point or exponent). */
  readonly plainIntegersOnly?: boolean;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

export function isJsonArray(value: JsonValue | undefined): value is JsonArray {
  return Array.isArray(value);
}

/**
 * Parses one JSON value, white space around it allowed.
 * @param format name that error messages begin with.
 * @throws FormatError with the character position.
 */
export function parseStrictJson(text: string, format: string, limits: JsonLimits): JsonValue {
  const parser = new JsonParser(text, format, limits);
  return parser.document();
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const FIRST_PRINTABLE = 0x20;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN_INTEGER = /^[0-9]+$/;
const FOUR_HEX_DIGITS = /^[0-9a-fA-F]{4}$/;
/** With the u flag, matches a surrogate only where it is not half of a pair. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

const WORDS: readonly (readonly [string, JsonValue])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class JsonParser {
  readonly #text: string;
  readonly #format: string;
  readonly #limits: JsonLimits;
  #position = 0;
  #valueCount = 0;

  constructor(text: string, format: string, limits: JsonLimits) {
    this.#text = text;
    this.#format = format;
    this.#limits = limits;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#position < this.#text.length) throw this.#error('text after the end of the JSON value');
    return value;
  }

  #value(depth: number): JsonValue {
    this.#valueCount += 1;
    if (this.#valueCount > this.#limits.maxValues) throw this.#error(`more than ${this.#limits.maxValues} JSON values`);
    const code = this.#peek();
    if (code === OPEN_BRACE) return this.#object(depth + 1);
    if (code === OPEN_BRACKET) return this.#array(depth + 1);
    if (code === QUOTE) return this.#string();
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#position)) {
        this.#position += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #object(depth: number): JsonObject {
    this.#enter(depth);
    const members = new Map<string, JsonValue>();
    if (this.#take(CLOSE_BRACE)) return members;
    do {
      if (this.#peek() !== QUOTE) throw this.#error('expected a quoted key');
      const key = this.#string();
      if (members.has(key)) throw this.#error(`duplicate key ${quoted(key)}`);
      if (!this.#take(COLON)) throw this.#error(`expected ":" after key ${quoted(key)}`);
      members.set(key, this.#value(depth));
    } while (this.#take(COMMA));
    if (!this.#take(CLOSE_BRACE)) throw this.#error('expected "," or "}"');
    return members;
  }

  #array(depth: number): JsonArray {
    this.#enter(depth);
    const items: JsonValue[] = [];
    if (this.#take(CLOSE_BRACKET)) return items;
    do {
      items.push(this.#value(depth));
    } while (this.#take(COMMA));
    if (!this.#take(CLOSE_BRACKET)) throw this.#error('expected "," or "]"');
    return items;
  }

  #enter(depth: number): void {
    if (depth > this.#limits.maxDepth) throw this.#error(`nested deeper than ${this.#limits.maxDepth}`);
    this.#position += 1;
  }

  #string(): string {
    this.#position += 1;
    let decoded = '';
    let start = this.#position;
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (Number.isNaN(code)) throw this.#error('unterminated string');
      if (code < FIRST_PRINTABLE) throw this.#error('control character in a string');
      if (code === QUOTE) break;
      this.#position += 1;
      if (code !== BACKSLASH) continue;
      decoded += this.#text.slice(start, this.#position - 1) + this.#escape();
      start = this.#position;
    }
    decoded += this.#text.slice(start, this.#position);
    this.#position += 1;
    if (LONE_SURROGATE.test(decoded)) throw this.#error('lone surrogate in a string');
    return decoded;
  }

  #escape(): string {
    const letter = this.#text.charAt(this.#position);
    this.#position += 1;
    const simple = ESCAPES.get(letter);
    if (simple !== undefined) return simple;
    const hex = this.#text.slice(this.#position, this.#position + 4);
    if (letter !== 'u' || !FOUR_HEX_DIGITS.test(hex)) throw this.#error('unknown escape in a string');
    this.#position += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #number(): number {
    NUMBER.lastIndex = this.#position;
    const token = NUMBER.exec(this.#text)?.[0];
    if (token === undefined) throw this.#error('expected a JSON value');
    if (this.#limits.plainIntegersOnly === true && !PLAIN_INTEGER.test(token)) {
      throw this.#error(`number ${quoted(token)} where only a non-negative integer is allowed`);
    }
    const value = Number(token);
    if (!Number.isFinite(value)) throw this.#error(`number ${quoted(token)} is out of range`);
    this.#position += token.length;
    return value;
  }

  /** Code of the next character that is not white space; NaN at the end. */
  #peek(): number {
    this.#skipSpace();
    return this.#text.charCodeAt(this.#position);
  }

  #take(code: number): boolean {
    if (this.#peek() !== code) return false;
    this.#position += 1;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#position += 1;
    }
  }

  #error(problem: string): FormatError {
    return new FormatError(this.#format, `${problem} (at character ${this.#position})`);
  }
}
