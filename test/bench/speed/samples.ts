// What was measured: speeds by side and workload, one a round, or the reason why a side has none. Sides take turns.
import type { Side } from '../sides/sides.ts';
import type { NamedWorkload } from './workloads.ts';

export interface Cell {
  /** One value a round. */
  readonly tokensPerSecond: number[];
  firstRowTokenIds: readonly number[];
  /** Ours: of the form that computed the timed calls. */
  form: string | null;
  reason: string | null;
}

/** By side and workload. */
export class Samples {
  readonly #cells = new Map<string, Map<string, Cell>>();

  cell(side: string, workload: string): Cell {
    const ofSide = this.#cells.get(side) ?? new Map<string, Cell>();
    this.#cells.set(side, ofSide);
    const cell = ofSide.get(workload) ?? { tokensPerSecond: [], firstRowTokenIds: [], form: null, reason: null };
    ofSide.set(workload, cell);
    return cell;
  }

  /** As plain objects, for JSON. */
  record(): Record<string, Record<string, Cell>> {
    return Object.fromEntries([...this.#cells].map(([side, cells]) => [side, Object.fromEntries(cells)]));
  }
}

/** In every round each workload goes to all sides before the next one does: a machine that gets slower favours nobody. */
export async function measureRounds(sides: readonly Side[], workloads: readonly NamedWorkload[], rounds: number): Promise<Samples> {
  const samples = new Samples();
  for (let round = 1; round <= rounds; round++) {
    for (const { name, workload } of workloads) {
      for (const side of sides) {
        const cell = samples.cell(side.name, name);
        // What a side cannot do it cannot do in later rounds either.
        if (cell.reason !== null) continue;
        const answer = await side.measure(workload);
        if (answer.kind === 'cannot') {
          cell.reason = answer.reason;
          continue;
        }
        cell.tokensPerSecond.push(answer.tokensPerSecond);
        cell.firstRowTokenIds = answer.firstRowTokenIds;
        cell.form = answer.form ?? null;
        console.log(`round ${round}: ${name}: ${side.name} ${answer.tokensPerSecond.toFixed(1)} tokens/s`);
      }
    }
  }
  return samples;
}
