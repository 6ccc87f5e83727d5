// One real server for the tests of a client: the tiny model, one operator's key, and an adapter whose greedy answer is certain.
import { certainAdapters, certainBase, type CertainAdapter } from '../support/certain-answers.ts';
import { Api } from '../support/api.ts';
import { runLorikeet } from '../support/command-line.ts';
import type { ExpectedAnswer } from '../support/expected.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { beforeAll } from 'vitest';

export const BASE = 'tiny-llama';

/** Rows that the server takes at once; a request for more is always refused as overloaded. */
export const MOST_ROWS = 20;

export interface ClientServer {
  readonly url: string;
  readonly key: string;
  readonly api: Api;
}

/** The adapter that the server has, and what PEFT answers with it to the prompt. */
export const ADAPTER = certain();

/** What PEFT answers without an adapter. */
export const BASE_ANSWER: ExpectedAnswer = certainBase();

function certain(): CertainAdapter {
  const [adapter] = certainAdapters(1);
  if (adapter === undefined) throw new Error('the fixtures have no adapter with a certain answer');
  return adapter;
}

/** Started before the tests of the surrounding file and stopped after them. */
export function clientServer(): ClientServer {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  let key = '';
  const running = serverOfTests(async () => {
    await importTinyModel(BASE, modelsDir);
    const printed = await runLorikeet(
      ['keys', 'create', '--json', '--tenant', 'root', '--role', 'operator', '--data-dir', dataDir],
      dataDir,
    );
    key = /lk_[A-Za-z0-9_-]+/.exec(printed)?.[0] ?? '';
    return { modelsDir, dataDir, model: BASE, precision: 'fp32', maxBatch: '2', maxWaiting: String(MOST_ROWS - 2) };
  });
  const api = (): Api => new Api(running.server.url, key);
  beforeAll(async () => {
    await api().upload(ADAPTER.name, ADAPTER.files);
  });
  return {
    get url() {
      return running.server.url;
    },
    get key() {
      return key;
    },
    get api() {
      return api();
    },
  };
}

/** How `return_tokens_as_token_ids` writes tokens: exact, where a text may hold half a character. */
export function tokenNames(tokenIds: readonly number[]): readonly string[] {
  return tokenIds.map((id) => `token_id:${id}`);
}
