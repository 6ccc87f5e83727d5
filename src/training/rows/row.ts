// What a training row says, and what is said of a bad one.
import type { JsonValue } from '../../formats/index.ts';
import { quoted, shownJson } from '../../formats/index.ts';

export interface ChatTurn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
  readonly name?: string;
  /** Whether the loss counts this turn; only an assistant's may. */
  readonly supervised: boolean;
}

export type Row =
  | { readonly kind: 'chat'; readonly turns: readonly ChatTurn[] }
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly text: string };

/** Why a row cannot be trained on. `message` names the field, what came and what was expected; it is safe to show. */
export interface RowProblem {
  readonly kind: 'problem';
  /** Path of the field, for example `messages[2].role`; null: the row as a whole. */
  readonly field: string | null;
  readonly message: string;
}

export const ROW_LIMITS = {
  /** UTF-8 bytes of one line. */
  lineBytes: 1 << 20,
  /** Characters of all texts of a row: tokenizing takes up to 25 µs a character. */
  textCharacters: 1 << 18,
  /** Every turn is one rendering of all before it. */
  messageCount: 512,
  nameCharacters: 64,
  jsonDepth: 8,
  jsonValues: 10_000,
} as const;

export function rowProblem(field: string | null, problem: string): RowProblem {
  return { kind: 'problem', field, message: field === null ? problem : `${quoted(field)}: ${problem}` };
}

export function wrongValue(field: string, value: JsonValue | undefined, expected: string): RowProblem {
  return rowProblem(field, `${value === undefined ? 'it is missing' : `got ${shownJson(value)}`}, expected ${expected}`);
}
