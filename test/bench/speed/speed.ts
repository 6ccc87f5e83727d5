// The part `speed`: decode, prefill and mixes of adapters, ours and peers on one file in one run; memory; distance from the machine's limits.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ModelPackage, Precision } from '../../../src/models/index.ts';
import { decodeFloor, type Floor, prefillFloor } from '../limits/distance.ts';
import type { MachineLimits } from '../limits/limits-child.ts';
import { type OurCosts, ourCosts } from '../limits/our-cost.ts';
import type { MemoryAnswer, MemoryOptions, MemoryQuestion } from '../memory/memory-child.ts';
import type { BenchOptions } from '../options.ts';
import { panelChart } from '../report/panels.ts';
import { summarise } from '../report/statistics.ts';
import { latestMeasurements, writeReport } from '../report/write.ts';
import { engineCommand, startChild } from '../sides/child.ts';
import type { Answer, Workload } from '../sides/protocol.ts';
import { PREFILL_CHUNK_TOKENS } from '../sides/our-rows.ts';
import { type Side, startSides } from '../sides/sides.ts';
import { openSubject, sourceFile, subjectTokenIds } from '../subject.ts';
import { measureRounds, type Samples } from './samples.ts';
import { speedTable } from './table.ts';
import { decodeName, makeWorkloads, meanPositions, type NamedWorkload, textTokens } from './workloads.ts';

const COLOURS = { ours: ['#1b6ca8', '#5aa9e6', '#2a9d8f', '#7cc6b8'], peers: ['#c46a1b', '#e09f5a', '#8d99ae', '#b5838d', '#6d6875'] };
const MEMORY_ROWS = 16;
const MEMORY_CAPACITY = 512;
const MEMORY_RANK = 16;

export async function benchSpeed({ rounds, rowCounts, precisions, withPeers }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  const maxRows = Math.max(MEMORY_ROWS, ...rowCounts);
  const tokenIds = await subjectTokenIds(model, textTokens(maxRows));
  const workloads = makeWorkloads(tokenIds, rowCounts);
  const threadCount = availableParallelism();
  const limitsBefore = await measureLimits(threadCount);
  const prompts = workloads.flatMap(({ name, workload }) =>
    name === decodeName(MEMORY_ROWS) && workload.kind === 'decode' ? workload.prompts : [],
  );
  const exactTokenIds = await tokensOfFloat32(model, workloads, threadCount);
  const memory = new Map<string, MemoryAnswer>();
  for (const precision of precisions) memory.set(precision, await measureMemory({ precision, threadCount, maxRows }, prompts));
  const sides = await startSides({ modelFile: sourceFile(model), threadCount, maxRows }, precisions, withPeers);
  let samples: Samples;
  try {
    samples = await measureRounds(sides, workloads, rounds);
  } finally {
    for (const side of sides) await side.stop();
  }
  const limits = highest(limitsBefore, await measureLimits(threadCount));
  await report({ model, rounds, sides, workloads, samples, limits, memory, exactTokenIds });
  return true;
}

async function measureLimits(threadCount: number): Promise<MachineLimits> {
  const path = join(import.meta.dirname, '..', 'limits', 'limits-child.ts');
  const child = await startChild<null, MachineLimits>('limits', engineCommand(path), { threadCount });
  const limits = await child.ask(null);
  await child.stop();
  return limits;
}

/** The first row is the same in every batch. */
async function tokensOfFloat32(model: ModelPackage, workloads: readonly NamedWorkload[], threadCount: number): Promise<readonly number[]> {
  const batch = workloads.flatMap(({ workload }) => (workload.kind === 'decode' ? [workload] : []))[0];
  if (!batch) return [];
  const options = { modelFile: sourceFile(model), threadCount, maxRows: 1, precision: 'fp32' };
  const path = join(import.meta.dirname, '..', 'sides', 'ours.ts');
  const child = await startChild<Workload, Answer>('ours fp32', engineCommand(path), options);
  const answer = await child.ask({ ...batch, prompts: batch.prompts.slice(0, 1) });
  await child.stop();
  return answer.kind === 'measured' ? answer.firstRowTokenIds : [];
}

function highest(a: MachineLimits, b: MachineLimits): MachineLimits {
  return {
    bytesPerSecond: Math.max(a.bytesPerSecond, b.bytesPerSecond),
    float32PerSecond: Math.max(a.float32PerSecond, b.float32PerSecond),
    int8PerSecond: Math.max(a.int8PerSecond, b.int8PerSecond),
  };
}

async function measureMemory(options: MemoryOptions, prompts: MemoryQuestion['prompts']): Promise<MemoryAnswer> {
  const path = join(import.meta.dirname, '..', 'memory', 'memory-child.ts');
  const child = await startChild<MemoryQuestion, MemoryAnswer>(`memory ${options.precision}`, engineCommand(path), options);
  const answer = await child.ask({ prompts, capacity: MEMORY_CAPACITY, rank: MEMORY_RANK });
  await child.stop();
  return answer;
}

interface Measured {
  readonly model: ModelPackage;
  readonly rounds: number;
  readonly sides: readonly Side[];
  readonly workloads: readonly NamedWorkload[];
  readonly samples: Samples;
  readonly limits: MachineLimits;
  readonly memory: ReadonlyMap<string, MemoryAnswer>;
  /** What our fp32 form says to the first row. */
  readonly exactTokenIds: readonly number[];
}

async function report({ model, rounds, sides, workloads, samples, limits, memory, exactTokenIds }: Measured): Promise<void> {
  const ours = sides.filter(({ isOurs }) => isOurs);
  const costs = new Map<string, OurCosts>();
  for (const { name, precision } of ours) costs.set(name, await ourCosts(model, precision as Precision));
  const floorOf = (side: string, workload: NamedWorkload): Floor =>
    floorFor(costs.get(side), samples.cell(side, workload.name).form, workload, limits);
  const shareOfLimit = (side: string, workload: NamedWorkload, tokensPerSecond: number): number =>
    (floorOf(side, workload).seconds * tokensPerSecond) / tokensPerRun(workload);
  const meanKl = latestMeanKl();
  const meanKlOf = (side: string): number | null => meanKl.get(ours.find(({ name }) => name === side)?.precision ?? '') ?? null;
  const table = speedTable({ sides, workloads, samples, meanKlOf, shareOfLimit });
  const agreement = leadingTokensInCommon(exactTokenIds, sides, samples);
  writeReport({
    part: 'speed',
    header: table.header,
    rows: table.rows,
    notes: [...table.notes, ...machineNotes(limits), ...[...memory].map(memoryNote), agreementNote(agreement)],
    measurements: {
      rounds,
      unit: 'tokens/s',
      sides: sides.map(({ name, isOurs, weights }) => ({ name, isOurs, weights, meanKl: meanKlOf(name) })),
      samples: samples.record(),
      limits,
      floors: Object.fromEntries(
        ours.map(({ name }) => [name, Object.fromEntries(workloads.map((workload) => [workload.name, floorOf(name, workload)]))]),
      ),
      memory: Object.fromEntries(memory),
      leadingTokensInCommon: agreement,
    },
    chart: panelChart(
      `${model.record.id}, ${rounds} rounds`,
      'tokens per second: medians, lines from the slowest to the fastest round',
      workloads.map(({ name }) => ({
        title: name,
        bars: sides.map((side, index) => bar(side, index - ours.length, index, samples, name)),
      })),
    ),
  });
}

function bar({ name, isOurs }: Side, peerIndex: number, index: number, samples: Samples, workload: string) {
  const { tokensPerSecond } = samples.cell(name, workload);
  const colour = (isOurs ? COLOURS.ours[index % COLOURS.ours.length] : COLOURS.peers[peerIndex % COLOURS.peers.length]) ?? '#000';
  return { name, range: tokensPerSecond.length === 0 ? null : summarise(tokensPerSecond), colour };
}

function floorFor(costs: OurCosts | undefined, formName: string | null, { workload }: NamedWorkload, limits: MachineLimits): Floor {
  const form = formName === null ? undefined : costs?.forms.get(formName);
  if (!costs || !form) throw new Error('only our own sides have a floor');
  if (workload.kind === 'prefill') return prefillFloor(workload.prompt.length, PREFILL_CHUNK_TOKENS, costs.size, form, limits);
  const { prompts, adapters } = workload;
  return decodeFloor({ rows: prompts.length, positions: meanPositions(workload), adapters }, costs.size, form, limits);
}

/** Tokens of what a floor is about: one step of a batch, or a whole prompt. */
function tokensPerRun({ workload }: NamedWorkload): number {
  return workload.kind === 'prefill' ? workload.prompt.length : workload.prompts.length;
}

/** Mean KL divergence from fp32 by precision, over a float32 cache, as the part `quality` measured it last; the larger where there are two forms. */
function latestMeanKl(): ReadonlyMap<string, number> {
  interface Quality {
    readonly results: readonly { readonly precision: string; readonly kv: string; readonly divergence: { readonly meanKl: number } }[];
  }
  const quality = latestMeasurements('quality') as Quality | null;
  const means = new Map([['fp32', 0]]);
  for (const { precision, kv, divergence } of quality?.results ?? [])
    if (kv === 'fp32') means.set(precision, Math.max(means.get(precision) ?? 0, divergence.meanKl));
  return means;
}

/** How many of each side's first greedy tokens are those of fp32: all sides do the same work. */
function leadingTokensInCommon(exact: readonly number[], sides: readonly Side[], samples: Samples): Record<string, string> {
  const counts = sides.flatMap(({ name }) => {
    const ids = samples.cell(name, decodeName(MEMORY_ROWS)).firstRowTokenIds;
    const different = exact.findIndex((id, index) => ids[index] !== id);
    return ids.length === 0 ? [] : [[name, `${different === -1 ? exact.length : different} of ${exact.length}`] as const];
  });
  return Object.fromEntries(counts);
}

function agreementNote(agreement: Record<string, string>): string {
  const parts = Object.entries(agreement).map(([side, share]) => `${side} ${share}`);
  return `leading greedy tokens of the first row in common with our fp32: ${parts.join(', ')}`;
}

function machineNotes({ bytesPerSecond, float32PerSecond, int8PerSecond }: MachineLimits): readonly string[] {
  const giga = (value: number): string => (value / 1e9).toFixed(1);
  return [
    `limits, measured through ONNX Runtime: ${giga(bytesPerSecond)} GB/s read, ${giga(float32PerSecond)} GFLOP/s float32, ${giga(int8PerSecond)} GOP/s int8`,
  ];
}

function memoryNote([precision, answer]: [string, MemoryAnswer]): string {
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const { idleBytes, bytesPerRow, bytesPerAdapter, bytesPerRowWithAdapter } = answer;
  return (
    `memory of ours ${precision}: ${mb(idleBytes)} idle; a row with ${MEMORY_CAPACITY} positions ${mb(bytesPerRow)}; ` +
    `an adapter of rank ${MEMORY_RANK} ${mb(bytesPerAdapter)} held, ${mb(bytesPerRowWithAdapter)} more in the row that uses it`
  );
}
