// Adapters of the tiny model whose greedy answer to one prompt meets no near tie: their tokens are certain whatever else runs beside them.
import { type AdapterFilePair, fixtureAdapter } from './adapter-files.ts';
import { casesOf, type ExpectedAnswer, readExpected } from './expected.ts';
import { GREEDY_GAP } from './tolerances.ts';

export interface CertainAdapter {
  readonly name: string;
  readonly files: AdapterFilePair;
  readonly answer: ExpectedAnswer;
}

const FOLDER = 'tiny-adapters';
const PROMPT_INDEX = 0;

/** The prompt that all of them answer, and what the base itself answers. */
export function certainBase(): ExpectedAnswer {
  return answerOf('base');
}

/** The first `count` such adapters; they answer differently from each other and from the base. */
export function certainAdapters(count: number): readonly CertainAdapter[] {
  const seen = new Set([certainBase().greedy_token_ids.join(' ')]);
  const found: CertainAdapter[] = [];
  for (const name of Object.keys(readExpected(FOLDER).cases)) {
    const answer = answerOf(name);
    const tokens = answer.greedy_token_ids.join(' ');
    if (name === 'base' || answer.greedy_min_gap <= GREEDY_GAP || seen.has(tokens)) continue;
    seen.add(tokens);
    found.push({ name, files: fixtureAdapter(`${FOLDER}/${name}`), answer });
    if (found.length === count) return found;
  }
  throw new Error(`the fixtures have only ${found.length} adapters with a certain answer, not ${count}`);
}

function answerOf(name: string): ExpectedAnswer {
  const answer = casesOf(readExpected(FOLDER), name)[PROMPT_INDEX];
  if (answer === undefined) throw new Error(`case ${name} has no prompt ${PROMPT_INDEX}`);
  return answer;
}
