// Traffic over many adapters through HTTP, as ../workloads/zipf-64.json has it: failures, latencies, throughput, memory.
import { barChart } from '../report/chart.ts';
import { type Check, CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { latencyOf, shownLatency, type Latency } from './latency.ts';
import { randomPeftAdapter } from './random-peft-adapter.ts';
import { longestLoopBlockMs, withSubjectServer, type SubjectServer } from './subject-server.ts';
import { firstTokenMs, timedStream, tokenGapsMs, type StreamTimes } from './timed-stream.ts';
import { planRequests, readWorkload, type PlannedRequest, type ZipfWorkload } from './workload.ts';

const WORKLOAD = 'zipf-64';
const MEMORY_ROWS = 16;
const MEMORY_ADAPTERS = 8;
const IDLE_MS = 2000;
const BOUNDS = { tailRatio: 3, loopBlockMs: 50 };

interface Memory {
  readonly bytesPerRow: number;
  readonly bytesPerAdapter: number;
}

interface Measured {
  readonly workload: ZipfWorkload;
  readonly requestCount: number;
  readonly failures: readonly string[];
  readonly firstToken: Latency;
  readonly betweenTokens: Latency;
  readonly tokensPerSecond: number;
  readonly loopBlockMs: number;
  /** Of the prompt tokens that were looked up in the prefix cache. */
  readonly prefixHitShare: number;
  readonly memory: Memory;
}

export async function benchLoad(): Promise<boolean> {
  const measured = await withSubjectServer((server) => measure(server, readWorkload<ZipfWorkload>(WORKLOAD)));
  const checks = checksOf(measured);
  report(measured, checks);
  return checks.every(({ holds }) => holds);
}

async function measure(server: SubjectServer, workload: ZipfWorkload): Promise<Measured> {
  const { api } = server;
  const memory = await measureMemory(server, workload);
  console.log(`uploading ${workload.adapterCount} adapters`);
  for (let index = 0; index < workload.adapterCount; index += 1) await upload(server, workload, index);
  await longestLoopBlockMs(api);
  const before = await api.metrics();
  const planned = planRequests(workload);
  console.log(`sending ${planned.length} requests in ${workload.durationSeconds} s`);
  const startedAtMs = performance.now();
  const outcomes = await Promise.allSettled(planned.map((request) => send(server, request, startedAtMs)));
  const seconds = (performance.now() - startedAtMs) / 1000;
  const loopBlockMs = await longestLoopBlockMs(api);
  const after = await api.metrics();
  const grown = (name: string): number => after.value(name) - before.value(name);
  const streams = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  return {
    workload,
    requestCount: planned.length,
    failures: outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [String(outcome.reason)] : [])),
    firstToken: latencyOf(streams.map(firstTokenMs)),
    betweenTokens: latencyOf(streams.flatMap((stream) => tokenGapsMs(stream))),
    tokensPerSecond: streams.reduce((sum, { tokenAtMs }) => sum + tokenAtMs.length, 0) / seconds,
    loopBlockMs,
    prefixHitShare: grown('lorikeet_prefix_cache_hit_tokens_total') / Math.max(1, grown('lorikeet_prefix_cache_queried_tokens_total')),
    memory,
  };
}

/** The same bytes once more are no change. */
async function upload({ api, base }: SubjectServer, { adapterRanks }: ZipfWorkload, index: number): Promise<void> {
  const rank = adapterRanks[index % adapterRanks.length] ?? 8;
  await api.upload(adapterName(index), randomPeftAdapter(base, rank, index));
}

function adapterName(index: number): string {
  return `load-${index}`;
}

/** Sends at the planned time, whatever became of the others: an open loop, so a slow server meets a queue. */
async function send({ api, prompt }: SubjectServer, request: PlannedRequest, startedAtMs: number): Promise<StreamTimes> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, startedAtMs + request.atMs - performance.now())));
  const { adapter, promptTokens, outputTokens, textShare } = request;
  return await timedStream(api, { model: adapterName(adapter), prompt: prompt(textShare, promptTokens), outputTokens });
}

/** Growth of the engine's resident memory: by rows that run at once, then by adapters of the largest rank that are uploaded and asked for one by one. */
async function measureMemory(server: SubjectServer, workload: ZipfWorkload): Promise<Memory> {
  const { api, base, prompt } = server;
  const resident = async (): Promise<number> => (await api.metrics()).value('lorikeet_engine_resident_bytes');
  const ask = (model: string, row: number): Promise<StreamTimes> =>
    timedStream(api, { model, prompt: prompt(row / MEMORY_ROWS, 32), outputTokens: 16 });
  const oneRow = await resident();
  await Promise.all(Array.from({ length: MEMORY_ROWS }, (_, row) => ask(base.id, row)));
  const allRows = await resident();
  // Odd places have the larger rank; the first one also makes what all adapters share, a part of it when the engine has nothing else to do.
  const add = async (place: number): Promise<void> => {
    await upload(server, workload, place);
    await ask(adapterName(place), 0);
  };
  await add(1);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const oneAdapter = await resident();
  for (let index = 1; index <= MEMORY_ADAPTERS; index += 1) await add(2 * index + 1);
  return {
    bytesPerRow: (allRows - oneRow) / (MEMORY_ROWS - 1),
    bytesPerAdapter: ((await resident()) - oneAdapter) / MEMORY_ADAPTERS,
  };
}

function checksOf({ requestCount, failures, betweenTokens, loopBlockMs }: Measured): readonly Check[] {
  const ratio = betweenTokens.p99 / betweenTokens.p50;
  return [
    { name: 'failures', value: `${failures.length} of ${requestCount}`, bound: 'none', holds: failures.length === 0 },
    {
      name: 'between tokens, p99 : median',
      value: ratio.toFixed(2),
      bound: `${BOUNDS.tailRatio}`,
      holds: ratio <= BOUNDS.tailRatio,
    },
    {
      name: "longest block of the front's event loop",
      value: `${loopBlockMs.toFixed(1)} ms`,
      bound: `${BOUNDS.loopBlockMs} ms`,
      holds: loopBlockMs <= BOUNDS.loopBlockMs,
    },
  ];
}

function report(measured: Measured, checks: readonly Check[]): void {
  const { firstToken, betweenTokens, tokensPerSecond, prefixHitShare, memory, failures } = measured;
  const mebibytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  for (const failure of failures.slice(0, 3)) console.log(`failed: ${failure}`);
  writeReport({
    part: 'load',
    header: CHECK_HEADER,
    rows: [
      ...checks.map(checkRow),
      ['time to first token, p50 / p99 / max', shownLatency(firstToken), '', ''],
      ['time between tokens, p50 / p99 / max', shownLatency(betweenTokens), '', ''],
      ['generated', `${tokensPerSecond.toFixed(1)} tokens/s`, '', ''],
      ['prefix cache, share of prompt tokens', `${(prefixHitShare * 100).toFixed(1)} %`, '', ''],
      ['memory of an added row', mebibytes(memory.bytesPerRow), '', ''],
      ['memory of an added adapter of rank 16', mebibytes(memory.bytesPerAdapter), '', ''],
    ],
    measurements: measured,
    chart: barChart(
      '8 requests/s over 64 adapters',
      'ms',
      ['p50', 'p99', 'max'],
      [
        { name: 'time to first token', values: [firstToken.p50, firstToken.p99, firstToken.max] },
        { name: 'time between tokens', values: [betweenTokens.p50, betweenTokens.p99, betweenTokens.max] },
      ],
    ),
  });
}
