// The server under load: the product's own process on the default model and default settings, with a data folder of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Api } from '../../support/api.ts';
import { type ServerSettings, startServer } from '../../support/server.ts';
import type { BaseModelDescription, ModelPackage } from '../../../src/models/index.ts';
import { openSubject, subjectTokenIds } from '../subject.ts';

export interface SubjectServer {
  readonly api: Api;
  readonly base: BaseModelDescription;
  /** Of the front process. */
  readonly pid: number;
  /** From its start to its ready line. */
  readonly startMs: number;
  /** Token ids of a fixed text, from a share of it on; the text begins again where it ends. */
  readonly prompt: (textShare: number, tokenCount: number) => readonly number[];
}

/** prom-client samples the event loop with a timer of this period, and its readings hold the period. */
const LOOP_TIMER_MS = 10;

/** Longest time that the front's event loop was blocked since this was last asked: a reading begins the next span. */
export async function longestLoopBlockMs(api: Api): Promise<number> {
  const seconds = (await api.metrics()).value('nodejs_eventloop_lag_max_seconds');
  return Math.max(0, seconds * 1000 - LOOP_TIMER_MS);
}

/**
 * Starts the server, warms it up with one request, and stops it when `use` is through. `fill` may put something into its data folder first; `settings` are
 * other ones than the defaults.
 */
export async function withSubjectServer<Result>(
  use: (server: SubjectServer) => Promise<Result>,
  fill: (dataDir: string, model: ModelPackage) => Promise<void> = () => Promise.resolve(),
  settings: Partial<ServerSettings> = {},
): Promise<Result> {
  const model = await openSubject();
  const text = await subjectTokenIds(model, 1);
  const dataDir = mkdtempSync(join(tmpdir(), 'lorikeet-load-'));
  try {
    const { description, folder } = model;
    await fill(dataDir, model);
    const startedAtMs = performance.now();
    await using server = await startServer({ modelsDir: dirname(folder), dataDir, model: description.id, ...settings });
    const startMs = performance.now() - startedAtMs;
    const api = new Api(server.url);
    await api.complete({ model: description.id, prompt: text.slice(0, 32), max_tokens: 8 });
    return await use({
      api,
      base: description,
      pid: server.pid,
      startMs,
      prompt: (textShare, tokenCount) => {
        const start = Math.floor(textShare * text.length);
        return Array.from({ length: tokenCount }, (_, index) => text[(start + index) % text.length] ?? 0);
      },
    });
  } finally {
    await model.close();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
  }
}
