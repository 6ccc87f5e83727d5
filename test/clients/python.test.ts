// LoRAX's and TGI's Python clients against a real server process: their tests are in python/. Skips, and says why, where Python cannot have them.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ADAPTER, BASE_ANSWER, clientServer } from './client-server.ts';
import { pythonEnvironment } from './python-environment.ts';

const environment = await pythonEnvironment();
const isMissing = 'missing' in environment;
if (isMissing) process.stderr.write(`the Python clients are not tested: ${environment.missing}\n`);

describe.skipIf(isMissing)('the Python client', () => {
  const server = clientServer();
  const runTests = (file: string): Promise<string> =>
    new Promise((resolve) => {
      const facts = {
        CLIENT_URL: server.url,
        CLIENT_KEY: server.key,
        CLIENT_ADAPTER: ADAPTER.name,
        CLIENT_PROMPT: BASE_ANSWER.prompt,
        CLIENT_BASE_TOKENS: JSON.stringify(BASE_ANSWER.greedy_token_ids),
        CLIENT_ADAPTER_TOKENS: JSON.stringify(ADAPTER.answer.greedy_token_ids),
      };
      const options = { cwd: join(import.meta.dirname, 'python'), env: { ...process.env, ...facts, PYTHONDONTWRITEBYTECODE: '1' } };
      execFile(isMissing ? '' : environment.python, ['-m', 'unittest', file], options, (_error, _stdout, log) => resolve(log));
    });

  it.each([
    ['lorax-client', 'lorax_client_test.py', 9],
    ['text-generation', 'text_generation_test.py', 7],
  ])('%s passes its tests', async (_name, file, testCount) => {
    expect(await runTests(file)).toMatch(new RegExp(`\\nRan ${testCount} tests[^\\n]*\\n+OK\\n`));
  });
});
