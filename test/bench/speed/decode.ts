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
const MIX = mixName({ count: MOST_ROWS, rank: 16 });
/** Least median of the ratio to the peer by workload; null: shown without a bound. */
const BOUNDS: ReadonlyMap<string, number | null> = new Map([
  [decodeName(1), 2],
  [decodeName(4), null],
  [decodeName(8), null],
  [decodeName(MOST_ROWS), 3],
  [prefillName(128), 3],
]);
const LEAST_SHARE_OF_BASE = 0.6;

export async function benchDecode({ rounds }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  const tokenIds = await subjectTokenIds(model, textTokens(MOST_ROWS));
  const workloads = makeWorkloads(tokenIds, ROW_COUNTS).filter(({ name }) => BOUNDS.has(name) || name === MIX);
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
    {
      name: `${MIX}, share of own base`,
      ratio: pairedRatio(speeds(ours.name, MIX), speeds(ours.name, decodeName(MOST_ROWS))),
      bound: LEAST_SHARE_OF_BASE,
    },
  ].map(({ name, ratio, bound }) => ({ name, ratio, bound, holds: bound === null || ratio.median >= bound }));
  writeReport({
    part: 'decode',
    header: CHECK_HEADER,
    rows: checks.map(({ name, ratio, bound, holds }) =>
      bound === null ? [name, shown(ratio, 2), '', ''] : checkRow({ name, value: shown(ratio, 2), bound: `${bound}`, holds }),
    ),
    measurements: { rounds, unit: 'tokens/s', samples: samples.record(), checks },
  });
  return checks.every(({ holds }) => holds);
}
