// The expectations that PEFT wrote (expected.json): types and reading. Formats are described in test/fixtures/README.md.
import { readFileSync } from 'node:fs';
import { fixturePath } from './repository.ts';

/** What the reference computes for one prompt. Log probabilities are natural. */
export interface ExpectedAnswer {
  readonly prompt: string;
  readonly prompt_token_ids: readonly number[];
  readonly top10: readonly (readonly [tokenId: number, logprob: number])[];
  readonly continuation_token_ids: readonly number[];
  readonly continuation_logprobs: readonly number[];
  readonly greedy_token_ids: readonly number[];
  readonly greedy_min_gap: number;
  /** Gap before each greedy token; the real model's file has only the smallest. */
  readonly greedy_gaps?: readonly number[];
}

export interface ExpectedFile {
  /** `base` is without adapter; every other case is a folder beside the file. */
  readonly cases: Readonly<Record<string, readonly ExpectedAnswer[]>>;
}

export function readExpected(folder: string): ExpectedFile {
  return JSON.parse(readFileSync(fixturePath(`${folder}/expected.json`), 'utf8')) as ExpectedFile;
}

/** Fails with the name when a fixture lacks the case. */
export function casesOf(file: ExpectedFile, name: string): readonly ExpectedAnswer[] {
  const answers = file.cases[name];
  if (answers === undefined) throw new Error(`expected.json has no case ${name}`);
  return answers;
}
