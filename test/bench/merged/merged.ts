// Merged mode, measured: its decode step against the base's, what each precision leaves of an adapter, and what a change does to others.
import { join } from 'node:path';
import { shownLatency } from '../load/latency.ts';
import { withSubjectServer } from '../load/subject-server.ts';
import type { BenchOptions } from '../options.ts';
import { parityAdapter } from '../parity-adapter.ts';
import { type MedianInterval, medianInterval } from '../report/interval.ts';
import { CHECK_HEADER, checkRow } from '../report/check.ts';
import { writeReport } from '../report/write.ts';
import { openSubject, subjectTokenIds } from '../subject.ts';
import { engineCommand, startChild } from '../sides/child.ts';
import { type Change, measureChange } from './change.ts';
import { type MergedQualities, mergedQualities } from './merged-quality.ts';
import type { StepsAnswer, StepsQuestion } from './steps-child.ts';

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

export async function benchMerged({ rounds }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  try {
    const { steps, makeSeconds, loadSeconds } = await measureSteps(rounds * PAIRS_PER_ROUND);
    const ratios = steps.map(ratioOf);
    const change = await withSubjectServer(measureChange);
    const tokenIds = (await subjectTokenIds(model, TEXT_TOKENS)).slice(0, TEXT_TOKENS);
    const quality = await mergedQualities(model, await parityAdapter(model, 'r16-all'), tokenIds);
    const rows = [...ratios.flatMap(ratioRows), ...changeRows(change), ...qualityRows(quality)];
    writeReport({
      part: 'merged',
      header: CHECK_HEADER,
      rows: [...rows, ['making the files / the session, alone', `${makeSeconds.toFixed(1)} / ${loadSeconds.toFixed(2)} s`, '', '']],
      measurements: { ratios, change, quality, makeSeconds, loadSeconds },
    });
    return rows.every((row) => row[3] !== 'NO');
  } finally {
    await model.close();
  }
}

async function measureSteps(pairs: number): Promise<StepsAnswer> {
  const child = await startChild<StepsQuestion, StepsAnswer>('steps', engineCommand(join(import.meta.dirname, 'steps-child.ts')), {});
  const answer = await child.ask({ rowCounts: ROW_COUNTS, pairs });
  await child.stop();
  return answer;
}

function ratioOf({ rowCount, base, merged }: StepsAnswer['steps'][number]): StepRatio {
  return { rowCount, merged: medianInterval(merged.map((ms, pair) => ms / (base[pair] ?? NaN))), baseMs: medianInterval(base).median };
}

function ratioRows({ rowCount, merged, baseMs }: StepRatio): readonly (readonly string[])[] {
  const shown = ({ median, low, high }: MedianInterval): string => `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
  const holds = merged.median <= MOST_RATIO.median && merged.high <= MOST_RATIO.high;
  const rows = `${rowCount} row${rowCount === 1 ? '' : 's'}`;
  const name = `merged decode step to the base's, ${rows} (base ${baseMs.toFixed(1)} ms)`;
  return [checkRow({ name, value: shown(merged), bound: `${MOST_RATIO.median}, high ${MOST_RATIO.high}`, holds })];
}

function changeRows({ before, promotion, loading, merged, demotion, mergedRows }: Change): readonly (readonly string[])[] {
  const stretch = (name: string, others: Change['before']): readonly string[] => {
    const ratio = others.p50 / before.p50;
    const value = `${shownLatency(others)}, ${ratio.toFixed(2)} times`;
    return checkRow({ name, value, bound: `${MOST_STRETCH} times`, holds: ratio <= MOST_STRETCH });
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
    ...forms.map(({ name, bound, divergence: { meanKl, sameTopShare } }) => {
      const shown = [
        `mean KL from the fp32 merge: ${name}`,
        `${meanKl.toFixed(5)}, same top token ${(sameTopShare * 100).toFixed(1)} %`,
      ] as const;
      return bound === null
        ? [...shown, '', '']
        : checkRow({ name: shown[0], value: shown[1], bound: String(bound), holds: meanKl <= bound });
    }),
  ];
}
