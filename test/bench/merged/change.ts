// What merging an adapter and taking it back does to requests that decode meanwhile: their time between tokens, through HTTP.
import { setTimeout as pause } from 'node:timers/promises';
import { fixtureAdapter } from '../../support/adapter-files.ts';
import type { Api } from '../../support/api.ts';
import { latencyOf, type Latency } from '../load/latency.ts';
import type { SubjectServer } from '../load/subject-server.ts';
import { timedStream, tokenGapsMs, type StreamTimes } from '../load/timed-stream.ts';

const ADAPTER = 'r16-all';
const OTHER_ROWS = 7;
const PROMPT_TOKENS = 32;
const OUTPUT_TOKENS = 4000;
const SETTLING_TOKENS = 20;
const QUIET_MS = 5000;
const POLL_MS = 50;
const LONGEST_CHANGE_MS = 120_000;

export interface ChangeTimes {
  /** Seconds from the operator's word until the adapter was merged, or was not any more. */
  readonly seconds: number;
  readonly others: Latency;
}

export interface Change {
  readonly before: Latency;
  readonly promotion: ChangeTimes;
  /** While the adapter's session was made, a part of the promotion. */
  readonly loading: Latency | null;
  readonly merged: Latency;
  readonly demotion: ChangeTimes;
  readonly mergedRows: number;
}

/** Seven rows of the base and one of the adapter decode all the time. Rejects when any of them fails. */
export async function measureChange({ api, base, prompt }: SubjectServer): Promise<Change> {
  await api.upload(ADAPTER, fixtureAdapter(`parity/adapters/${ADAPTER}`));
  const abort = new AbortController();
  const models = [ADAPTER, ...Array.from({ length: OTHER_ROWS }, () => base.id)];
  const failures: unknown[] = [];
  let settled = 0;
  const onToken = (count: number): void => void (settled += count === SETTLING_TOKENS ? 1 : 0);
  const streams = models.map((model, row) =>
    timedStream(
      api,
      { model, prompt: prompt(row / models.length, PROMPT_TOKENS), outputTokens: OUTPUT_TOKENS },
      { signal: abort.signal, onToken },
    ),
  );
  for (const stream of streams) stream.catch((error: unknown) => failures.push(error));
  await until(() => Promise.resolve(settled === models.length || failures.length > 0));
  const beforeMs = performance.now();
  await pause(QUIET_MS);
  const promotion = await change(api, 'merged');
  const mergedMs = performance.now();
  await pause(QUIET_MS);
  const demotion = await change(api, 'side');
  const endMs = performance.now();
  const mergedRows = (await api.metrics()).value('lorikeet_engine_merged_rows_total');
  abort.abort();
  const times = (await Promise.all(streams)).slice(1);
  if (failures.length > 0) throw failures[0];
  const gaps = (fromMs: number, toMs: number): Latency => latencyOf(gapsOf(times, fromMs, toMs));
  return {
    before: gaps(beforeMs, promotion.startMs),
    promotion: { seconds: promotion.seconds, others: gaps(promotion.startMs, mergedMs) },
    loading: promotion.loadingMs === null ? null : gaps(promotion.loadingMs, mergedMs),
    merged: gaps(mergedMs, demotion.startMs),
    demotion: { seconds: demotion.seconds, others: gaps(demotion.startMs, endMs) },
    mergedRows,
  };
}

function gapsOf(times: readonly StreamTimes[], fromMs: number, toMs: number): readonly number[] {
  return times.flatMap((stream) => tokenGapsMs(stream, fromMs, toMs));
}

interface Changed {
  readonly startMs: number;
  readonly loadingMs: number | null;
  readonly seconds: number;
}

async function change(api: Api, mode: 'merged' | 'side'): Promise<Changed> {
  const startMs = performance.now();
  const path = `/admin/adapters/${ADAPTER}`;
  const { status } = await api.call('PUT', `${path}/placement`, {
    body: JSON.stringify({ mode }),
    headers: { 'content-type': 'application/json' },
  });
  if (status !== 200) throw new Error(`the placement was answered ${status}`);
  let loadingMs: number | null = null;
  await until(async () => {
    const { versions } = (await (await api.send('GET', path)).json()) as {
      readonly versions: readonly { readonly residency: string; readonly merging: string | null }[];
    };
    if (versions[0]?.merging === 'loading') loadingMs ??= performance.now();
    return (versions[0]?.residency === 'merged') === (mode === 'merged') && versions[0]?.merging !== 'retiring';
  });
  const seconds = (performance.now() - startMs) / 1000;
  // The rows that change sides do so just after.
  await pause(10 * POLL_MS);
  return { startMs, loadingMs, seconds };
}

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LONGEST_CHANGE_MS;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error('what was waited for does not happen');
    await pause(POLL_MS);
  }
}
