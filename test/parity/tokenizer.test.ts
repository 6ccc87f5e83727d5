// The real vocabulary against the Python tokenizers: ids and texts of about 350 tricky strings, and the prompts of the PEFT fixtures.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModelPackage } from '../../src/models/index.ts';
import { createDetokenizer, createTokenizer, type Tokenizer } from '../../src/text/index.ts';
import { readExpected } from '../support/expected.ts';
import { realModelFolder } from '../support/real-model.ts';
import { fixturePath } from '../support/repository.ts';

interface Golden {
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

const FETCH_AND_IMPORT_MS = 600_000;

describe("SmolLM2's tokenizer", () => {
  const golden = JSON.parse(readFileSync(fixturePath('tokenizer/smollm2.json'), 'utf8')) as Golden;
  let tokenizer: Tokenizer;

  beforeAll(async () => {
    const model = await openModelPackage(await realModelFolder());
    tokenizer = createTokenizer(model.tokenizer);
  }, FETCH_AND_IMPORT_MS);

  it('gives the ids of the Python tokenizers', () => {
    expect(golden.texts.length).toBeGreaterThan(300);
    expect(golden.texts.map((text) => tokenizer.encode(text))).toEqual(golden.ids);
  });

  it('gives the texts of the Python tokenizers', () => {
    expect(golden.ids.map((ids) => tokenizer.decode(ids, { skipSpecial: false }))).toEqual(golden.decoded);
  });

  it('gives the prompt ids that PEFT was given', () => {
    const answers = Object.values(readExpected('parity').cases).flat();
    expect(answers.length).toBeGreaterThan(0);
    for (const answer of answers) expect(tokenizer.encode(answer.prompt)).toEqual(answer.prompt_token_ids);
  });

  it('detokenizes any sequence of ids piece by piece to the text of decode', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabularySize - 1), { maxLength: 100 }), (tokenIds) => {
        const detokenizer = createDetokenizer(tokenizer);
        const text = tokenIds.map((tokenId) => detokenizer.push(tokenId)).join('') + detokenizer.flush();
        expect(text).toBe(tokenizer.decode(tokenIds));
      }),
      { seed: 5, numRuns: 300 },
    );
  });
});
