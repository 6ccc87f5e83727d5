// Shows how far a long task is: a redrawn bar on a terminal, an occasional line elsewhere (logs, CI). Knows no task.
import { Presets, SingleBar } from 'cli-progress';
import type { CommandContext } from './context.ts';
import { formatBytes } from './output.ts';

/** Between two lines of one stage where no terminal redraws. */
const LINE_INTERVAL_MS = 5000;

export type ProgressUnit = 'bytes' | 'steps';

export interface ProgressDisplay {
  /** A new label starts a new stage. `total` is null while it is unknown. */
  update(label: string, done: number, total: number | null, unit: ProgressUnit): void;
  finish(): void;
}

/** With `quiet` (--json) nothing is shown. */
export function createProgress(context: CommandContext, quiet: boolean): ProgressDisplay {
  if (quiet) return { update: () => undefined, finish: () => undefined };
  return context.isTerminal ? createBars(context) : createLines(context);
}

function amount(value: number, unit: ProgressUnit): string {
  return unit === 'bytes' ? formatBytes(value) : String(value);
}

function createBars(context: CommandContext): ProgressDisplay {
  let bar: SingleBar | null = null;
  let stage = '';
  const finish = (): void => {
    bar?.stop();
    bar = null;
  };
  return {
    update(label, done, total, unit) {
      if (label !== stage || bar === null) {
        finish();
        stage = label;
        bar = new SingleBar(
          { stream: context.notes, format: '{label} [{bar}] {percentage}% {doneText}', hideCursor: true, linewrap: false },
          Presets.legacy,
        );
        bar.start(total ?? Math.max(1, done), done, { label, doneText: '' });
      }
      if (total !== null) bar.setTotal(total);
      bar.update(done, { label, doneText: total === null ? amount(done, unit) : `${amount(done, unit)} of ${amount(total, unit)}` });
    },
    finish,
  };
}

function createLines(context: CommandContext): ProgressDisplay {
  let stage = '';
  let isComplete = false;
  let lastLineAtMs = 0;
  return {
    update(label, done, total, unit) {
      const nowMs = performance.now();
      const completes = total !== null && done >= total;
      const isDue = label !== stage || completes || nowMs - lastLineAtMs >= LINE_INTERVAL_MS;
      if (!isDue || (label === stage && isComplete)) return;
      stage = label;
      isComplete = completes;
      lastLineAtMs = nowMs;
      context.notes.write(`${label}: ${amount(done, unit)}${total === null ? '' : ` of ${amount(total, unit)}`}\n`);
    },
    finish: () => undefined,
  };
}
