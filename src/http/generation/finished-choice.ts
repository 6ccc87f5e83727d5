// A choice read to its end, for answers that are sent whole.
import type { TokenLogprob } from '../../engine/index.ts';
import type { Choice, EndCause } from './choice.ts';
import type { GenerationSession } from './session.ts';

export interface GeneratedToken {
  readonly tokenId: number;
  /** Text released with this token. */
  readonly text: string;
  readonly logprob: TokenLogprob | null;
}

export interface FinishedChoice {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
  /** `length` when no token was asked for. */
  readonly end: EndCause;
  /** One for each prompt token, the first null; empty when not asked for. */
  readonly promptLogprobs: readonly (TokenLogprob | null)[];
}

export async function finishChoice(session: GenerationSession, choice: Choice): Promise<FinishedChoice> {
  const tokens: GeneratedToken[] = [];
  let promptLogprobs: readonly (TokenLogprob | null)[] = [];
  let end: EndCause = 'length';
  for await (const event of choice.events()) {
    if (event.kind === 'prompt') {
      promptLogprobs = event.logprobs;
    } else {
      session.countToken();
      tokens.push({ tokenId: event.tokenId, text: event.text, logprob: event.logprob });
      end = event.end ?? end;
    }
  }
  return { text: tokens.map((token) => token.text).join(''), tokens, end, promptLogprobs };
}

/** All choices of a session. The first failure wins; closing the session then ends the others. */
export function finishAll(session: GenerationSession): Promise<FinishedChoice[]> {
  return Promise.all(session.choices.map((choice) => finishChoice(session, choice)));
}

/** The `keep` choices with the highest mean log probability, best first (OpenAI's and TGI's `best_of`). */
export function bestChoices(choices: readonly FinishedChoice[], keep: number): FinishedChoice[] {
  return choices.toSorted((left, right) => meanLogprob(right) - meanLogprob(left)).slice(0, keep);
}

function meanLogprob(choice: FinishedChoice): number {
  const sum = choice.tokens.reduce((total, token) => total + (token.logprob?.logprob ?? 0), 0);
  return choice.tokens.length === 0 ? 0 : sum / choice.tokens.length;
}
