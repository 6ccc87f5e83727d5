// The part `beside`: what a training job with default settings does to requests that decode beside it: their tokens/s and time between tokens, against before.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { createJob, followJob, uploadRows } from '../../support/training-api.ts';
import { fixturePath } from '../../support/repository.ts';
import { type Latency, latencyOf, shownLatency } from '../load/latency.ts';
import { type SubjectServer, withSubjectServer } from '../load/subject-server.ts';
import { type StreamTimes, timedStream, tokenGapsMs } from '../load/timed-stream.ts';
import { barChart } from '../report/chart.ts';
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';

const ROWS = 8;
const PROMPT_TOKENS = 32;
/** Requests follow one another, so that caches are as long alone as beside a job. */
const OUTPUT_TOKENS = 128;
const PHASE_MS = 20_000;
const SETTLING_MS = 3000;
/** The first step of a job makes its graph. */
const FIRST_STEP = 2;

const LEAST_THROUGHPUT = 0.6;
const LARGEST_STRETCH = 2;

interface Phase {
  readonly tokensPerSecond: number;
  readonly between: Latency;
}

interface Measured {
  readonly alone: Phase;
  readonly beside: Phase;
  /** Of the job, while requests were served. */
  readonly stepsPerMinute: number;
}

export async function benchBeside(): Promise<boolean> {
  const measured = await withSubjectServer(measure);
  const { alone, beside, stepsPerMinute } = measured;
  const share = beside.tokensPerSecond / alone.tokensPerSecond;
  const stretch = beside.between.p99 / alone.between.p99;
  const checks: readonly Check[] = [
    {
      name: 'tokens/s beside a job, share of alone',
      value: share.toFixed(2),
      bound: `${LEAST_THROUGHPUT}`,
      holds: share >= LEAST_THROUGHPUT,
    },
    {
      name: 'p99 between tokens, times that of alone',
      value: stretch.toFixed(2),
      bound: `${LARGEST_STRETCH}`,
      holds: stretch <= LARGEST_STRETCH,
    },
  ];
  writeReport({
    part: 'beside',
    header: CHECK_HEADER,
    rows: [
      ...checks.map(checkRow),
      [
        `tokens/s of ${ROWS} rows, alone and beside`,
        `${alone.tokensPerSecond.toFixed(0)} and ${beside.tokensPerSecond.toFixed(0)}`,
        '',
        '',
      ],
      ['between tokens alone, p50 / p99 / max', shownLatency(alone.between), '', ''],
      ['between tokens beside, p50 / p99 / max', shownLatency(beside.between), '', ''],
      ['steps of the job a minute meanwhile', stepsPerMinute.toFixed(1), '', ''],
    ],
    measurements: { ...measured, share, stretch },
    chart: barChart(
      `${ROWS} rows beside a training job`,
      'ms between tokens',
      ['p50', 'p99', 'max'],
      [
        { name: 'alone', values: [alone.between.p50, alone.between.p99, alone.between.max] },
        { name: 'beside', values: [beside.between.p50, beside.between.p99, beside.between.max] },
      ],
    ),
  });
  return checks.every(({ holds }) => holds);
}

async function measure({ api, base, prompt }: SubjectServer): Promise<Measured> {
  const abort = new AbortController();
  const failures: unknown[] = [];
  const users = Array.from({ length: ROWS }, async (_, row): Promise<readonly StreamTimes[]> => {
    const wish = { model: base.id, prompt: prompt(row / ROWS, PROMPT_TOKENS), outputTokens: OUTPUT_TOKENS };
    const streams: StreamTimes[] = [];
    while (!abort.signal.aborted) streams.push(await timedStream(api, wish, { signal: abort.signal }));
    return streams;
  });
  for (const user of users) user.catch((error: unknown) => failures.push(error));
  await pause(SETTLING_MS);
  const aloneFromMs = performance.now();
  await pause(PHASE_MS);
  const aloneToMs = performance.now();

  const training_file = await uploadRows(api, readFileSync(fixturePath('e2e/train.jsonl'), 'utf8'));
  const { id } = await createJob(api, { model: base.id, training_file, suffix: 'beside', seed: 1 }, {});
  const stepAtMs: number[] = [];
  const ended = followJob(api, id, () => void stepAtMs.push(performance.now()));
  ended.catch((error: unknown) => failures.push(error));
  while (stepAtMs.length < FIRST_STEP && failures.length === 0) await pause(50);
  const besideFromMs = performance.now();
  await pause(PHASE_MS);
  const besideToMs = performance.now();
  await api.post(`/v1/fine_tuning/jobs/${id}/cancel`, {});
  abort.abort();
  const [streams] = await Promise.all([Promise.all(users), ended]);
  if (failures.length > 0) throw failures[0];
  const times = streams.flat();
  const steps = stepAtMs.filter((atMs) => atMs >= besideFromMs && atMs <= besideToMs).length;
  return {
    alone: phaseOf(times, aloneFromMs, aloneToMs),
    beside: phaseOf(times, besideFromMs, besideToMs),
    stepsPerMinute: (steps * 60_000) / (besideToMs - besideFromMs),
  };
}

function phaseOf(times: readonly StreamTimes[], fromMs: number, toMs: number): Phase {
  const gaps = times.flatMap((stream) => tokenGapsMs(stream, fromMs, toMs));
  return { tokensPerSecond: (gaps.length * 1000) / (toMs - fromMs), between: latencyOf(gaps) };
}
