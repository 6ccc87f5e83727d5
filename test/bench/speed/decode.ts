// The part `decode`: the default form against llama.cpp as npm ships it, a short run of what `speed` measures, with bounds.
import { availableParallelism } from 'node:os';
import type { BenchOptions } from '../options.ts';
import { CHECK_HEADER, checkRow } from '../report/check.ts';
import { pairedRatio, shown } from '../report/statistics.ts';
import { writeReport } from '../report/write.ts';
import { startSides } from '../sides/sides.ts';
import { openSubject, sourceFile, subjectTokenIds } from '../subject.ts';
import { measureRounds, type Samples } from './samples.ts';
import { decodeName, makeWorkloads, mixName, prefillName, textTokens } from './workloads.ts';

const ROW_COUNTS = [1, 4, 8, 16];
const MOST_ROWS = 16;
/** Least median of a mix's share of the speed without adapters; null: shown without a bound. */
const MIX_BOUNDS = [
  { name: mixName({ rows: 1, count: 1, rank: 16 }), base: decodeName(1), bound: null },
  { name: mixName({ rows: MOST_ROWS, count: MOST_ROWS, rank: 16 }), base: decodeName(MOST_ROWS), bound: 0.6 },
];
/** Least median of the ratio to the peer by workload; null: shown without a bound. */
const BOUNDS: ReadonlyMap<string, number | null> = new Map([
  [decodeName(1), 2],
  [decodeName(4), null],
  [decodeName(8), null],
  [decodeName(MOST_ROWS), 3],
  [prefillName(128), 3],
]);

export async function benchDecode({ rounds }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  const tokenIds = await subjectTokenIds(model, textTokens(MOST_ROWS));
  const workloads = makeWorkloads(tokenIds, ROW_COUNTS).filter(
    ({ name }) => BOUNDS.has(name) || MIX_BOUNDS.some((mix) => mix.name === name),
  );
  const options = { modelFile: sourceFile(model), threadCount: availableParallelism(), maxRows: MOST_ROWS };
  const sides = await startSides(options, ['int8'], false);
  const [ours, peer] = sides;
  if (!ours || !peer) throw new Error('both sides were expected');
  let samples: Samples;
  try {
    samples = await measureRounds(sides, workloads, rounds);
  } finally {
    for (const side of sides) await side.stop();
  }
  const speeds = (side: string, workload: string): readonly number[] => samples.cell(side, workload).tokensPerSecond;
  const checks = [
    ...[...BOUNDS].map(([workload, bound]) => ({
      name: `${workload}, times ${peer.name}`,
      ratio: pairedRatio(speeds(ours.name, workload), speeds(peer.name, workload)),
      bound,
    })),
    ...MIX_BOUNDS.map(({ name, base, bound }) => ({
      name: `${name}, share of own base`,
      ratio: pairedRatio(speeds(ours.name, name), speeds(ours.name, base)),
      bound,
    })),
  ].map(({ name, ratio, bound }) => ({ name, ratio, bound, holds: bound === null || ratio.median >= bound }));
  writeReport({
    part: 'decode',
    header: CHECK_HEADER,
    rows: checks.map(({ name, ratio, bound, holds }) =>
      bound === null ? [name, shown(ratio, 2), '', ''] : checkRow({ name, value: shown(ratio, 2), bound: bound.toFixed(2), holds }),
    ),
    measurements: { rounds, unit: 'tokens/s', samples: samples.record(), checks },
  });
  return checks.every(({ holds }) => holds);
}
