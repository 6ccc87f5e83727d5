// What a load scenario sends and when: a workload file, and the plan that its seed makes of it. Sends nothing.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { uniform } from '../uniform.ts';

/** A file of ../workloads/ with Poisson arrivals and adapters by a Zipf law. */
export interface ZipfWorkload {
  readonly about: string;
  readonly seed: number;
  readonly durationSeconds: number;
  readonly requestsPerSecond: number;
  readonly adapterCount: number;
  /** Ranks of the adapters in turn. */
  readonly adapterRanks: readonly number[];
  readonly zipfExponent: number;
  /** Lengths, each equally likely. */
  readonly promptTokens: readonly number[];
  readonly outputTokens: readonly number[];
}

export interface PlannedRequest {
  /** Since the start. */
  readonly atMs: number;
  /** From 0, the most wanted first. */
  readonly adapter: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Where its prompt begins in the text, as a share of the text. */
  readonly textShare: number;
}

export function readWorkload<Workload>(name: string): Workload {
  return JSON.parse(readFileSync(join(import.meta.dirname, '..', 'workloads', `${name}.json`), 'utf8')) as Workload;
}

/** In the order of arrival. The same workload always gives the same plan. */
export function planRequests(workload: ZipfWorkload): readonly PlannedRequest[] {
  const random = uniform(workload.seed);
  // In [0, 1); the generator's values lie in [-1, 1).
  const next = (): number => ((random(1, 1)[0] ?? 0) + 1) / 2;
  const oneOf = (values: readonly number[]): number => values[Math.min(Math.floor(next() * values.length), values.length - 1)] ?? 0;
  const ranks = zipfCumulative(workload.adapterCount, workload.zipfExponent);
  const planned: PlannedRequest[] = [];
  const gapMs = (): number => (-Math.log(1 - next() * (1 - Number.EPSILON)) * 1000) / workload.requestsPerSecond;
  for (let atMs = gapMs(); atMs < workload.durationSeconds * 1000; atMs += gapMs()) {
    const draw = next();
    planned.push({
      atMs,
      adapter: ranks.findIndex((share) => draw <= share),
      promptTokens: oneOf(workload.promptTokens),
      outputTokens: oneOf(workload.outputTokens),
      textShare: next(),
    });
  }
  return planned;
}

/** Share of requests that go to the first, the first two … of `count` adapters: weight 1 / place ** exponent. The last is 1. */
function zipfCumulative(count: number, exponent: number): readonly number[] {
  const weights = Array.from({ length: count }, (_, place) => 1 / (place + 1) ** exponent);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  return weights.map((weight, place) => (place === count - 1 ? 1 : (sum += weight / total)));
}
