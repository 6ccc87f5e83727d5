// A row → token ids, and which of them the loss counts. Segments are encoded as serving encodes them, so that a model is asked what it was taught.
import { isAppError } from '../../core/index.ts';
import { type ChatTemplate, chatTemplate, type Tokenizer } from '../../text/index.ts';
import type { TrainingExample } from '../trainer/ports.ts';
import { type ChatTurn, type Row, type RowProblem, rowProblem } from './row.ts';

/** What rows are tokenised with, all of it the base's. */
export interface RowText {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | null;
  /** Tokens that end a generation: the last of a turn that the loss counts. */
  readonly stopTokenIds: readonly number[];
}

/** @param source Jinja text of the base's chat template; null: it has none. */
export function rowTextOf(tokenizer: Tokenizer, source: string | null, stopTokenIds: readonly number[]): RowText {
  const written = (id: number | null): string | null => (id === null ? null : new TextDecoder().decode(tokenizer.tokenBytes(id)));
  const tokens = { bos: written(tokenizer.bosTokenId), eos: written(tokenizer.eosTokenId) };
  return { tokenizer, template: source === null ? null : chatTemplate(source, tokens), stopTokenIds };
}

/**
 * completion: encode(prompt) + encode(completion) + eos, loss on completion and eos. text: encode(text) + eos, loss on all but the first token.
 * chat: the rendered conversation, loss on each supervised assistant turn up to its end token. Where the model's convention is BOS before plain text,
 * completions and texts begin with it. Cut at the end to `maxSeqLength` tokens; a row without a supervised token after that is a problem.
 */
export function tokeniseRow(row: Row, text: RowText, maxSeqLength: number): TrainingExample | RowProblem {
  const pieces = piecesOf(row, text, maxSeqLength);
  if ('kind' in pieces) return pieces;
  const length = Math.min(
    maxSeqLength,
    pieces.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
  );
  const tokenIds = new Int32Array(length);
  const supervised = new Uint8Array(length);
  let cursor = 0;
  for (const piece of pieces) {
    for (const tokenId of piece.tokenIds) {
      if (cursor === length) break;
      tokenIds[cursor] = tokenId;
      supervised[cursor] = piece.supervised && cursor > 0 ? 1 : 0;
      cursor += 1;
    }
  }
  if (supervised.includes(1)) return { tokenIds, supervised };
  return rowProblem(null, `got a row without anything to learn in its first ${length} tokens ("max_seq_length" is ${maxSeqLength})`);
}

interface Piece {
  readonly tokenIds: readonly number[];
  readonly supervised: boolean;
}

function piecesOf(row: Row, text: RowText, maxSeqLength: number): readonly Piece[] | RowProblem {
  const { tokenizer } = text;
  if (row.kind === 'chat') return chatPieces(row.turns, text, maxSeqLength);
  const start = { tokenIds: tokenizer.addBos && tokenizer.bosTokenId !== null ? [tokenizer.bosTokenId] : [], supervised: false };
  const end = { tokenIds: [tokenizer.eosTokenId], supervised: true };
  if (row.kind === 'text') return [start, { tokenIds: tokenizer.encode(row.text), supervised: true }, end];
  const prompt = { tokenIds: tokenizer.encode(row.prompt), supervised: false };
  return [start, prompt, { tokenIds: tokenizer.encode(row.completion), supervised: true }, end];
}

/** Renders the conversation up to and after each assistant turn: what lies between is the turn. Needs a template that only ever appends. */
function chatPieces(turns: readonly ChatTurn[], text: RowText, maxSeqLength: number): readonly Piece[] | RowProblem {
  const { template, tokenizer } = text;
  if (template === null)
    return rowProblem('messages', 'the base model has no chat template; expected "prompt" and "completion", or "text"');
  const messages = turns.map(({ role, content, name }) => ({ role, content, ...(name !== undefined && { name }) }));
  const pieces: Piece[] = [];
  let tokenCount = 0;
  let before = '';
  const append = (rendered: string, supervised: boolean): boolean => {
    if (!rendered.startsWith(before)) return false;
    const tokenIds = continuation(tokenizer, before, rendered.slice(before.length));
    if (tokenIds === null) return false;
    const learned = supervised ? tokensToEnd(tokenIds, text) : 0;
    pieces.push({ tokenIds: tokenIds.slice(0, learned), supervised: true }, { tokenIds: tokenIds.slice(learned), supervised: false });
    tokenCount += tokenIds.length;
    before = rendered;
    return true;
  };
  try {
    // The whole is rendered for the template's own refusals, however early the row is cut.
    const whole = template.render(messages, { addGenerationPrompt: false });
    for (const [index, { role, supervised }] of turns.entries()) {
      if (role !== 'assistant') continue;
      if (tokenCount >= maxSeqLength) return pieces;
      const asked = template.render(messages.slice(0, index), { addGenerationPrompt: true });
      const answered = template.render(messages.slice(0, index + 1), { addGenerationPrompt: false });
      if (!append(asked, false) || !append(answered, supervised) || !whole.startsWith(answered)) return unstable(index);
    }
    append(whole, false);
    return pieces;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return rowProblem('messages', error.message);
  }
}

function unstable(index: number): RowProblem {
  const where = `messages[${index}]`;
  return rowProblem(
    where,
    'the base model\'s chat template does not keep the conversation before and after this turn as it stands; use another order of roles, or rows with "prompt" and "completion"',
  );
}

/** Tokens of `added` after `before`, or null when the tokens of `before` would change. */
function continuation(tokenizer: Tokenizer, before: string, added: string): readonly number[] | null {
  if (tokenizer.dropsLeadingSpace !== true || before === '') return tokenizer.encode(added);
  // Such a tokenizer puts a space before every text, so a part cannot be encoded by itself.
  const first = tokenizer.encode(before);
  const both = tokenizer.encode(before + added);
  return first.every((tokenId, index) => both[index] === tokenId) ? both.slice(first.length) : null;
}

/** A served model stops at its end token: what the template puts after it (a line feed) is never asked of it. */
function tokensToEnd(tokenIds: readonly number[], { tokenizer, stopTokenIds }: RowText): number {
  const end = tokenIds.findLastIndex((tokenId) => tokenId === tokenizer.eosTokenId || stopTokenIds.includes(tokenId));
  return end < 0 ? tokenIds.length : end + 1;
}
