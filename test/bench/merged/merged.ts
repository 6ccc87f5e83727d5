// Merged mode, measured in a process with the engine's memory: its decode step against the base's, what each precision leaves of an adapter, and what a change does to others.
import { spawnSync } from 'node:child_process';
import { decodePacked, type PackedAdapter } from '../../../src/adapters/packed.ts';
import { packAdapter } from '../../../src/adapters/pack-adapter.ts';
import { systemClock } from '../../../src/core/index.ts';
import type { ModelPackage } from '../../../src/models/index.ts';
import { hugePages } from '../../../src/processes/index.ts';
import { fixtureAdapter } from '../../support/adapter-files.ts';
import { shownLatency } from '../load/latency.ts';
import { withSubjectServer } from '../load/subject-server.ts';
import type { BenchOptions } from '../options.ts';
import { randomAdapter } from '../random-adapter.ts';
import { type MedianInterval, medianInterval } from '../report/interval.ts';
import { writeReport } from '../report/write.ts';
import { openSubject, subjectTokenIds } from '../subject.ts';
import { type Change, measureChange } from './change.ts';
import { type MergedQualities, mergedQualities } from './merged-quality.ts';
import { type StepPairs, stepPairs } from './step-ratio.ts';
import { withMerged } from './subject.ts';

const ROW_COUNTS = [1, 8] as const;
const PAIRS_PER_ROUND = 150;
const MOST_RATIO = { median: 1.02, high: 1.04 } as const;
const MOST_STRETCH = 2;
const TEXT_TOKENS = 1024;

interface StepRatio {
  readonly rowCount: number;
  readonly merged: MedianInterval;
  readonly baseMs: number;
}

export async function benchMerged(options: BenchOptions): Promise<boolean> {
  const memory = hugePages({});
  if (process.env.GLIBC_TUNABLES === memory.GLIBC_TUNABLES) return await measureMerged(options);
  const [, script = ''] = process.argv;
  const args = [...process.execArgv, script, 'merged', '--rounds', String(options.rounds)];
  return spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...memory } }).status === 0;
}

async function measureMerged({ rounds }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  try {
    const { ratios, makeSeconds, loadSeconds } = await measureSteps(model, rounds * PAIRS_PER_ROUND);
    const change = await withSubjectServer(measureChange);
    const tokenIds = (await subjectTokenIds(model, TEXT_TOKENS)).slice(0, TEXT_TOKENS);
    const quality = await mergedQualities(model, await parityAdapter(model, 'r16-all'), tokenIds);
    const rows = [...ratios.flatMap(ratioRows), ...changeRows(change), ...qualityRows(quality)];
    writeReport({
      part: 'merged',
      header: ['measure', 'value', 'bound', 'within'],
      rows: [...rows, ['making the files / the session, alone', `${makeSeconds.toFixed(1)} / ${loadSeconds.toFixed(2)} s`, '', '']],
      measurements: { ratios, change, quality, makeSeconds, loadSeconds },
    });
    return rows.every((row) => row[3] !== 'NO');
  } finally {
    await model.close();
  }
}

async function measureSteps(
  model: ModelPackage,
  pairs: number,
): Promise<{ readonly ratios: readonly StepRatio[]; readonly makeSeconds: number; readonly loadSeconds: number }> {
  const tokenIds = await subjectTokenIds(model, 512);
  const adapter = randomAdapter(model.description, 16, 1);
  const needs = { precision: 'int8', adapter, maxRows: 2 * Math.max(...ROW_COUNTS), maxContext: 512 } as const;
  return await withMerged(model, needs, ({ executor, makeSeconds, loadSeconds }) => ({
    ratios: ROW_COUNTS.map((rowCount) => ratioOf(rowCount, stepPairs(executor, { tokenIds, rowCount, pairs }))),
    makeSeconds,
    loadSeconds,
  }));
}

function ratioOf(rowCount: number, { base, merged }: StepPairs): StepRatio {
  return { rowCount, merged: medianInterval(merged.map((ms, pair) => ms / (base[pair] ?? NaN))), baseMs: medianInterval(base).median };
}

function ratioRows({ rowCount, merged, baseMs }: StepRatio): readonly (readonly string[])[] {
  const shown = ({ median, low, high }: MedianInterval): string => `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
  const holds = merged.median <= MOST_RATIO.median && merged.high <= MOST_RATIO.high;
  const rows = `${rowCount} row${rowCount === 1 ? '' : 's'}`;
  return [
    [`merged decode step to the base's, ${rows} (base ${baseMs.toFixed(1)} ms)`, shown(merged), '1.02, high 1.04', holds ? 'yes' : 'NO'],
  ];
}

function changeRows({ before, promotion, loading, merged, demotion, mergedRows }: Change): readonly (readonly string[])[] {
  const stretch = (name: string, others: Change['before']): readonly string[] => {
    const ratio = others.p50 / before.p50;
    return [name, `${shownLatency(others)}, ${ratio.toFixed(2)} times`, `${MOST_STRETCH} times`, ratio <= MOST_STRETCH ? 'yes' : 'NO'];
  };
  return [
    ['between tokens of 7 others before, p50 / p99 / max', shownLatency(before), '', ''],
    stretch(`during promotion, ${promotion.seconds.toFixed(1)} s`, promotion.others),
    ...(loading === null ? [] : [stretch('of that while the session was made', loading)]),
    [`while merged (${mergedRows} merged rows decoded)`, shownLatency(merged), '', mergedRows > 0 ? '' : 'NO'],
    stretch(`during demotion, ${demotion.seconds.toFixed(1)} s`, demotion.others),
  ];
}

function qualityRows({ effect, forms }: MergedQualities): readonly (readonly string[])[] {
  return [
    ['mean KL of the base from the adapter, both fp32', effect.meanKl.toFixed(4), '', ''],
    ...forms.map(({ name, bound, divergence: { meanKl, sameTopShare } }) => [
      `mean KL from the fp32 merge: ${name}`,
      `${meanKl.toFixed(5)}, same top token ${(sameTopShare * 100).toFixed(1)} %`,
      bound === null ? '' : String(bound),
      bound === null || meanKl <= bound ? 'yes' : 'NO',
    ]),
  ];
}

async function parityAdapter({ description, weights }: ModelPackage, name: string): Promise<PackedAdapter> {
  const files = fixtureAdapter(`parity/adapters/${name}`);
  return decodePacked((await packAdapter(files, { base: description, weights, maxRank: 256, clock: systemClock })).bytes);
}
