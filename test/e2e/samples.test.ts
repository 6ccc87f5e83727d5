// What a newcomer does first, at the default precision: the sample adapters turn facts into a sentence and back; the base model does neither.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fixturePath, repositoryPath } from '../support/repository.ts';
import { REAL_MODEL, REAL_MODELS_DIR, realModelFolder } from '../support/real-model.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';

const FETCH_AND_COMPILE_MS = 600_000;
const ROWS = 4;

interface Row {
  /** `name : The Vaults | Type : pub | …` and a line break. */
  readonly prompt: string;
  readonly references: readonly string[];
}

const rows = readFileSync(fixturePath('e2e/rows.jsonl'), 'utf8')
  .split('\n')
  .slice(0, ROWS)
  .map((line) => JSON.parse(line) as Row);

describe('the sample adapters', () => {
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await realModelFolder();
    return { modelsDir: REAL_MODELS_DIR, dataDir, model: REAL_MODEL, samplesDir: repositoryPath('adapters/samples'), maxContext: '512' };
  }, FETCH_AND_COMPILE_MS);

  const generate = async (prompt: string, adapter?: string): Promise<string> => {
    const query = adapter === undefined ? '' : `?adapter=${adapter}`;
    const response = await running.api.post(`/generate${query}`, { prompt, max_new_tokens: 60 });
    expect(response.status).toBe(200);
    const { generated_text: text } = (await response.json()) as { generated_text: string };
    return text;
  };

  it.each(rows)('say the facts as a sentence: $prompt', async ({ prompt }) => {
    const sentence = await generate(prompt, 'e2e-describe');
    expect(sentence).toContain(nameIn(prompt));
    expect(sentence.trim()).toMatch(/^[A-Z].*\.$/);
    expect(sentence, 'no list of facts').not.toContain(' | ');
    expect(await generate(prompt), 'the base does something else').not.toBe(sentence);
  });

  it.each(rows)('say a sentence as facts: $prompt', async ({ prompt, references }) => {
    const question = `Text: ${references[0] ?? ''}\nFacts:`;
    const facts = await generate(question, 'e2e-extract');
    expect(facts).toContain(`name : ${nameIn(prompt)}`);
    expect(facts.split('|').length, 'several facts').toBeGreaterThan(2);
    expect(await generate(question), 'the base finds none').not.toContain(' | ');
  });

  it('are listed for everyone and cannot be changed', async () => {
    const { text } = await running.api.call('GET', '/v1/models');
    expect(text).toContain('e2e-describe');
    expect(text).toContain('e2e-extract');
    const { status } = await running.api.call('DELETE', '/v1/adapters/e2e-describe');
    expect(status).toBe(403);
    expect((await running.api.call('GET', '/v1/adapters/e2e-describe')).status).toBe(200);
  });
});

function nameIn(prompt: string): string {
  return /name : ([^|]+?) \|/.exec(prompt)?.[1] ?? prompt;
}
