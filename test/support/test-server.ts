// One server for the tests of a file or `describe`: started before them, stopped after them.
import { afterAll, beforeAll } from 'vitest';
import { Api } from './api.ts';
import { type RunningServer, type ServerSettings, startServer } from './server.ts';

export interface TestServer {
  readonly server: RunningServer;
  /** A client without a key. */
  readonly api: Api;
}

const START_MS = 60_000;

/** `prepare` makes what the server needs and says how to start it. What it answers is usable within tests and later `beforeAll`s. */
export function serverOfTests(prepare: () => Promise<ServerSettings>, timeoutMs = START_MS): TestServer {
  let running: { readonly server: RunningServer; readonly api: Api } | null = null;
  beforeAll(async () => {
    const server = await startServer(await prepare());
    running = { server, api: new Api(server.url) };
  }, timeoutMs);
  afterAll(async () => {
    await running?.server.stop();
  });
  const current = (): TestServer => {
    if (running === null) throw new Error('the server of these tests is not started yet');
    return running;
  };
  return {
    get server() {
      return current().server;
    },
    get api() {
      return current().api;
    },
  };
}
