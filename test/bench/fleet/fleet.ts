// Ten thousand registered adapters: start-up, memory of the front, cold adapters against warm ones, traffic over all of them, long lists.
import { readFileSync } from 'node:fs';
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { summarise, type Summary } from '../report/statistics.ts';
import { latencyOf, shownLatency, type Latency } from '../load/latency.ts';
import { longestLoopBlockMs, withSubjectServer, type SubjectServer } from '../load/subject-server.ts';
import { firstTokenMs, timedStream } from '../load/timed-stream.ts';
import { planRequests, readWorkload, type PlannedRequest, type ZipfWorkload } from '../load/workload.ts';
import { fillFleet, fleetName } from './fleet-store.ts';

const WORKLOAD = 'fleet-10000';
const PAIRS = 200;
const PAIR_PROMPT_TOKENS = 32;
/** The setting's default. */
const ADAPTER_HOST_BYTES = 512 * 1024 ** 2;
const SAMPLE_MS = 500;
const BOUNDS = { startMs: 5000, frontBytes: 300e6, coldMs: 40, loopBlockMs: 50 };

interface Measured {
  readonly emptyStartMs: number;
  readonly startMs: number;
  readonly frontBytes: number;
  readonly peakFrontBytes: number;
  readonly listBlockMs: number;
  readonly warm: Summary;
  readonly cold: Summary;
  /** Of pairs, cold minus warm. */
  readonly difference: Summary;
  readonly requestCount: number;
  readonly failures: readonly string[];
  readonly firstToken: Latency;
  readonly largestHostBytes: number;
  readonly trafficBlockMs: number;
}

export async function benchFleet(): Promise<boolean> {
  const workload = readWorkload<ZipfWorkload>(WORKLOAD);
  const emptyStartMs = await withSubjectServer((server) => Promise.resolve(server.startMs));
  const measured = await withSubjectServer(
    async (server) => ({ emptyStartMs, ...(await measure(server, workload)) }),
    async (dataDir, model) => {
      console.log(`registering ${workload.adapterCount} adapters`);
      await fillFleet(dataDir, model, workload.adapterCount);
    },
    { adapterHostBytes: String(ADAPTER_HOST_BYTES) },
  );
  const checks = checksOf(measured);
  report(measured, checks);
  return checks.every(({ holds }) => holds);
}

async function measure(server: SubjectServer, workload: ZipfWorkload): Promise<Omit<Measured, 'emptyStartMs'>> {
  const frontBytes = residentBytes(server.pid, 'VmRSS');
  const listBlockMs = await measureLists(server, workload.adapterCount);
  const pairs = await measurePairs(server);
  const traffic = await measureTraffic(server, workload);
  return {
    startMs: server.startMs,
    frontBytes,
    listBlockMs,
    warm: summarise(pairs.map(({ warmMs }) => warmMs)),
    cold: summarise(pairs.map(({ coldMs }) => coldMs)),
    difference: summarise(pairs.map(({ warmMs, coldMs }) => coldMs - warmMs)),
    ...traffic,
    peakFrontBytes: residentBytes(server.pid, 'VmHWM'),
  };
}

function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) * 1024;
}

/** Both whole lists, a few times. */
async function measureLists({ api }: SubjectServer, count: number): Promise<number> {
  await longestLoopBlockMs(api);
  for (let round = 0; round < 3; round += 1) {
    for (const [path, extra] of [
      ['/v1/adapters', 0],
      ['/v1/models', 1],
    ] as const) {
      const { text } = await api.call('GET', path);
      const { data } = JSON.parse(text) as { readonly data: readonly unknown[] };
      if (data.length !== count + extra) throw new Error(`${path} lists ${data.length} entries, expected ${count + extra}`);
    }
  }
  return await longestLoopBlockMs(api);
}

/** A request to an adapter that was never asked for, and one to an adapter that is in memory, in turns that change place. */
async function measurePairs(server: SubjectServer): Promise<readonly { readonly warmMs: number; readonly coldMs: number }[]> {
  const pairs: { readonly warmMs: number; readonly coldMs: number }[] = [];
  const ask = async (adapter: number, place: number): Promise<number> => {
    const prompt = server.prompt(place / (2 * PAIRS), PAIR_PROMPT_TOKENS);
    return firstTokenMs(await timedStream(server.api, { model: fleetName(adapter), prompt, outputTokens: 4 }));
  };
  // The first adapter request of a server loads what all of them share.
  await ask(0, 0);
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const [known, fresh] = [pair, pair + 1];
    // Places in the text differ, so that the prefix cache helps neither.
    const warmFirst = pair % 2 === 0;
    const early = await ask(warmFirst ? known : fresh, 2 * pair);
    const late = await ask(warmFirst ? fresh : known, 2 * pair + 1);
    pairs.push(warmFirst ? { warmMs: early, coldMs: late } : { warmMs: late, coldMs: early });
  }
  return pairs;
}

async function measureTraffic(
  server: SubjectServer,
  workload: ZipfWorkload,
): Promise<Pick<Measured, 'requestCount' | 'failures' | 'firstToken' | 'largestHostBytes' | 'trafficBlockMs'>> {
  const { api } = server;
  await longestLoopBlockMs(api);
  const planned = planRequests(workload);
  console.log(`sending ${planned.length} requests in ${workload.durationSeconds} s`);
  let largestHostBytes = 0;
  const sampler = setInterval(() => {
    void api.metrics().then((metrics) => {
      largestHostBytes = Math.max(largestHostBytes, metrics.value('lorikeet_adapter_resident_bytes'));
    });
  }, SAMPLE_MS);
  const startedAtMs = performance.now();
  const outcomes = await Promise.allSettled(planned.map((request) => send(server, request, startedAtMs)));
  clearInterval(sampler);
  return {
    requestCount: planned.length,
    failures: outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [String(outcome.reason)] : [])),
    firstToken: latencyOf(outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))),
    largestHostBytes,
    trafficBlockMs: await longestLoopBlockMs(api),
  };
}

async function send({ api, prompt }: SubjectServer, request: PlannedRequest, startedAtMs: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, startedAtMs + request.atMs - performance.now())));
  const { adapter, promptTokens, outputTokens, textShare } = request;
  return firstTokenMs(await timedStream(api, { model: fleetName(adapter), prompt: prompt(textShare, promptTokens), outputTokens }));
}

function checksOf(measured: Measured): readonly Check[] {
  const { startMs, peakFrontBytes, difference, failures, requestCount, largestHostBytes, listBlockMs } = measured;
  const below = (name: string, value: number, bound: number, show: (value: number) => string): Check => ({
    name,
    value: show(value),
    bound: show(bound),
    holds: value <= bound,
  });
  return [
    below('start-up', startMs, BOUNDS.startMs, milliseconds),
    below('largest memory of the front, over the whole run', peakFrontBytes, BOUNDS.frontBytes, megabytes),
    below('first token of a cold adapter, later than of a warm one (median of pairs)', difference.median, BOUNDS.coldMs, milliseconds),
    { name: 'failures', value: `${failures.length} of ${requestCount}`, bound: 'none', holds: failures.length === 0 },
    below('adapters in host memory, at most', largestHostBytes, ADAPTER_HOST_BYTES, megabytes),
    below("longest block of the front's event loop while it lists all", listBlockMs, BOUNDS.loopBlockMs, milliseconds),
  ];
}

function milliseconds(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function report(measured: Measured, checks: readonly Check[]): void {
  const { emptyStartMs, frontBytes, warm, cold, difference, firstToken, trafficBlockMs, failures } = measured;
  for (const failure of failures.slice(0, 3)) console.log(`failed: ${failure}`);
  const range = ({ median, smallest, largest }: Summary): string =>
    `${milliseconds(median)} (${smallest.toFixed(0)} to ${largest.toFixed(0)})`;
  writeReport({
    part: 'fleet',
    header: CHECK_HEADER,
    rows: [
      ...checks.map(checkRow),
      ['start-up with no adapter', milliseconds(emptyStartMs), '', ''],
      ['memory of the front after start-up', megabytes(frontBytes), '', ''],
      ['first token, warm', range(warm), '', ''],
      ['first token, cold', range(cold), '', ''],
      ['cold minus warm', range(difference), '', ''],
      ['first token under traffic, p50 / p99 / max', shownLatency(firstToken), '', ''],
      ["longest block of the front's event loop under traffic", milliseconds(trafficBlockMs), '', ''],
    ],
    measurements: measured,
  });
}
