// The table of speeds: a line a workload, a column a side, then ours against the best peer and against the machine. Pure.
import { pairedRatio, shown, summarise } from '../report/statistics.ts';
import type { Side } from '../sides/sides.ts';
import type { Samples } from './samples.ts';
import type { NamedWorkload } from './workloads.ts';

export interface TableInput {
  readonly sides: readonly Pick<Side, 'name' | 'isOurs' | 'weights'>[];
  readonly workloads: readonly NamedWorkload[];
  readonly samples: Samples;
  /** Mean KL divergence from fp32 by our side's name; null: not measured. */
  readonly meanKlOf: (side: string) => number | null;
  /** Share of the machine's limit, 0 to 1, that our side reaches with a median speed. */
  readonly shareOfLimit: (side: string, workload: NamedWorkload, tokensPerSecond: number) => number;
}

export interface SpeedTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Why some sides have no figure. */
  readonly notes: readonly string[];
}

export function speedTable(input: TableInput): SpeedTable {
  const { sides, workloads, samples, meanKlOf } = input;
  const ours = sides.filter(({ isOurs }) => isOurs);
  const reasons: string[] = [];
  const mark = (side: string, reason: string): string => {
    const note = `${side}: ${reason}`;
    if (!reasons.includes(note)) reasons.push(note);
    return `– [${reasons.indexOf(note) + 1}]`;
  };
  const speed = (side: string, workload: string): string => {
    const { tokensPerSecond, reason } = samples.cell(side, workload);
    return tokensPerSecond.length === 0 ? mark(side, reason ?? 'not measured') : shown(summarise(tokensPerSecond), 0);
  };
  const weights = ({ name, isOurs, weights: held }: TableInput['sides'][number]): string => {
    const meanKl = isOurs ? meanKlOf(name) : null;
    return meanKl === null ? held : `${held}, KL ${meanKl.toFixed(4)}`;
  };
  return {
    header: [
      'tokens/s, median (range)',
      ...sides.map(({ name }) => name),
      ...ours.map(({ name }) => `${name} : best peer`),
      ...ours.map(({ name }) => `${name}: share of limit`),
    ],
    rows: [
      ['weights', ...sides.map(weights), ...ours.flatMap(() => ['', ''])],
      ...workloads.map((workload) => [
        workload.name,
        ...sides.map(({ name }) => speed(name, workload.name)),
        ...ours.map(({ name }) => comparison(input, name, workload)),
        ...ours.map(({ name }) => limitShare(input, name, workload)),
      ]),
    ],
    notes: reasons.map((reason, index) => `[${index + 1}] ${reason}`),
  };
}

/** Against the peer with the highest median, or for a mix of adapters also against our own rows without any. */
function comparison({ sides, samples }: TableInput, ours: string, { name, base }: NamedWorkload): string {
  const own = samples.cell(ours, name).tokensPerSecond;
  const speeds = (side: string, workload: string): readonly number[] => samples.cell(side, workload).tokensPerSecond;
  const rivals = sides.filter((side) => !side.isOurs && speeds(side.name, name).length > 0);
  const best = rivals.toSorted((a, b) => summarise(speeds(b.name, name)).median - summarise(speeds(a.name, name)).median)[0];
  const parts = [
    ...(best ? [`${shown(pairedRatio(own, speeds(best.name, name)), 2)} × ${best.name}`] : []),
    ...(base === null ? [] : [`${shown(pairedRatio(own, speeds(ours, base)), 2)} of own base`]),
  ];
  return parts.join('; ') || '–';
}

function limitShare({ samples, shareOfLimit }: TableInput, ours: string, workload: NamedWorkload): string {
  const { median } = summarise(samples.cell(ours, workload.name).tokensPerSecond);
  return `${(shareOfLimit(ours, workload, median) * 100).toFixed(0)} %`;
}
