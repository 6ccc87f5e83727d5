// A regular expression for the inside of a JSON string: what it matches must never hold a character that JSON would have to escape.
// Control characters need no care here, since none comes in JSON on one line: see `xgrammar.ts`.

/** Quotation mark and backslash. */
const UNSAFE_CODES = [0x22, 0x5c];
const UNSAFE = '"\\\\';

/** Wide classes, and what of them JSON strings hold unescaped. */
const NARROWED: ReadonlyMap<string, string> = new Map([
  ['.', `[^${UNSAFE}]`],
  ['\\s', '[ \\u00a0]'],
  ['\\S', `[^${UNSAFE} \\u00a0]`],
  ['\\D', `[^${UNSAFE}0-9]`],
  ['\\W', `[^${UNSAFE}a-zA-Z0-9_]`],
]);

const TOKEN = /\\u[0-9a-fA-F]{4}|\\?[^]/gu;
/** Of the escapes, those that stand for one character or a class that is safe. */
const KNOWN_ESCAPE = /^\\(?:[dw]|u.{4}|[^a-zA-Z0-9])$/u;

type Refuse = (problem: string) => never;

/** The same expression over characters that need no escape in JSON. Calls `refuse` where there is none. */
export function jsonSafePattern(pattern: string, refuse: Refuse): string {
  const tokens: readonly string[] = pattern.match(TOKEN) ?? [];
  let written = '';
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? '';
    if (token === '[') {
      const end = tokens.indexOf(']', at + 1);
      if (end < 0) return refuse('a class without its end');
      written += safeClass(tokens.slice(at + 1, end), refuse);
      at = end;
    } else {
      written += NARROWED.get(token) ?? safeCharacter(token, refuse);
    }
  }
  return written;
}

/** `tokens`: between the brackets. */
function safeClass(tokens: readonly string[], refuse: Refuse): string {
  const isNegated = tokens[0] === '^';
  let written = isNegated ? `^${UNSAFE}` : '';
  for (let at = isNegated ? 1 : 0; at < tokens.length; at += 1) {
    const low = tokens[at] ?? '';
    const high = tokens[at + 1] === '-' ? tokens[at + 2] : undefined;
    if (high === undefined) {
      written += safeCharacter(low, refuse);
    } else {
      written += safeRange(low, high, refuse);
      at += 2;
    }
  }
  return `[${written}]`;
}

/** A range, cut where it holds an unsafe character. */
function safeRange(low: string, high: string, refuse: Refuse): string {
  let start = codeOf(safeCharacter(low, refuse));
  let written = '';
  for (const code of UNSAFE_CODES) {
    if (code < start || code > codeOf(high)) continue;
    written += `${escaped(start)}-${escaped(code - 1)}`;
    start = code + 1;
  }
  return `${written}${escaped(start)}-${safeCharacter(high, refuse)}`;
}

function safeCharacter(token: string, refuse: Refuse): string {
  if (token.startsWith('\\') && !KNOWN_ESCAPE.test(token)) return refuse(`${token}, which is not supported in a JSON string`);
  const code = codeOf(token);
  if (UNSAFE_CODES.includes(code)) return refuse(`${token}, which JSON would have to escape`);
  return token;
}

function codeOf(token: string): number {
  if (/^\\u.{4}$/u.test(token)) return Number.parseInt(token.slice(2), 16);
  return token.codePointAt(token.length > 1 && token.startsWith('\\') ? 1 : 0) ?? 0;
}

function escaped(code: number): string {
  return code > 0xffff ? String.fromCodePoint(code) : `\\u${code.toString(16).padStart(4, '0')}`;
}
