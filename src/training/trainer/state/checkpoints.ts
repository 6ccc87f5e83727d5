// Checkpoints of a job on disk: `checkpoints/0` with the initial values, kept for good, and the last one after it. Each is a folder with
// `state.safetensors` (float32, exact) and `state.json`.
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { float32Tensor, readSafetensors, type SafetensorsTensor, tensorToFloat32, writeSafetensors } from '../../../formats/index.ts';
import type { InitialValues, SiteValues } from '../adapter/trained-site.ts';
import type { TrainedParameter } from '../ports.ts';
import type { TargetSite } from '../sites.ts';
import { removeUnfinished, writeFolder } from './durable.ts';
import type { BestStep, TrainingState } from './training-state.ts';

const VERSION = 1;
const TENSORS_FILE = 'state.safetensors';
const JSON_FILE = 'state.json';

type Tensors = ReadonlyMap<string, Float32Array>;

interface InitialRecord {
  readonly version: typeof VERSION;
  readonly identity: string;
  /** Sites whose initial factors training subtracts. */
  readonly changesBase: readonly string[];
}

type StateRecord = Pick<TrainingState, 'step' | 'evaluationDue' | 'curve' | 'evaluationsWithoutBetter' | 'trainedTokens'> & {
  readonly version: typeof VERSION;
  readonly identity: string;
  readonly best: Omit<BestStep, 'values'> | null;
};

export class Checkpoints {
  readonly #folder: string;
  readonly #identity: string;

  private constructor(folder: string, identity: string) {
    this.#folder = folder;
    this.#identity = identity;
  }

  /**
   * @param identity what a job must share with the checkpoints that it resumes from: hyperparameters and rows.
   */
  static async open(folder: string, identity: string): Promise<Checkpoints> {
    await mkdir(folder, { recursive: true });
    await removeUnfinished(folder);
    return new Checkpoints(folder, identity);
  }

  /** Step of the last checkpoint; null: not even the initial one is there. */
  async lastStep(): Promise<number | null> {
    const steps = await this.#steps();
    return steps.length === 0 ? null : Math.max(...steps);
  }

  async writeInitial(initial: readonly InitialValues[]): Promise<void> {
    const tensors = initial.flatMap((values) =>
      partsOf(values).map(([part, array]) => float32Tensor(`values.${values.target.site.id}.${part}`, [array.length], array)),
    );
    const changesBase = initial.filter((values) => values.changesBase).map(({ target }) => target.site.id);
    const record: InitialRecord = { version: VERSION, identity: this.#identity, changesBase };
    await this.#write(0, tensors, record);
  }

  /** @throws Error when the checkpoint is of another job. */
  async readInitial(targets: readonly TargetSite[]): Promise<readonly InitialValues[]> {
    const { tensors, record } = await this.#read<InitialRecord>(0);
    return targets.map((target) => {
      const { id } = target.site;
      return {
        target,
        changesBase: record.changesBase.includes(id),
        a: tensorOf(tensors, `values.${id}.A`),
        b: tensorOf(tensors, `values.${id}.B`),
        magnitude: tensors.get(`values.${id}.magnitude`) ?? null,
      };
    });
  }

  /**
   * Durable when it resolves; older ones but the initial one are gone then. One of the same step stays: whether its evaluation is done or still due,
   * what follows from it is the same.
   */
  async write(state: TrainingState): Promise<void> {
    const { step, evaluationDue, curve, best, evaluationsWithoutBetter, trainedTokens, parameters } = state;
    const older = await this.#steps();
    if (older.includes(step)) return;
    const tensors = parameters.flatMap(({ parameter, moment1, moment2 }, index) => {
      const arrays = { values: parameter.values, moment1, moment2, ...(best !== null && { best: best.values[index] ?? moment1 }) };
      return Object.entries(arrays).map(([kind, array]) => float32Tensor(nameOf(kind, parameter), [array.length], array));
    });
    const record: StateRecord = {
      version: VERSION,
      identity: this.#identity,
      step,
      evaluationDue,
      evaluationsWithoutBetter,
      trainedTokens,
      best: best === null ? null : { step: best.step, validLoss: best.validLoss },
      curve,
    };
    await this.#write(step, tensors, record);
    for (const other of older) {
      if (other !== 0) await rm(join(this.#folder, String(other)), { recursive: true, force: true });
    }
  }

  /**
   * Fills `state`, whose parameters have their initial values, with the checkpoint of this step.
   * @throws Error when the checkpoint is of another job.
   */
  async restore(step: number, state: TrainingState): Promise<void> {
    const { tensors, record } = await this.#read<StateRecord>(step);
    for (const { parameter, moment1, moment2 } of state.parameters) {
      parameter.values.set(tensorOf(tensors, nameOf('values', parameter)));
      moment1.set(tensorOf(tensors, nameOf('moment1', parameter)));
      moment2.set(tensorOf(tensors, nameOf('moment2', parameter)));
    }
    state.step = record.step;
    state.evaluationDue = record.evaluationDue;
    state.evaluationsWithoutBetter = record.evaluationsWithoutBetter;
    state.trainedTokens = record.trainedTokens;
    state.curve.splice(0, state.curve.length, ...record.curve);
    state.best = record.best && {
      ...record.best,
      values: state.parameters.map(({ parameter }) => tensorOf(tensors, nameOf('best', parameter))),
    };
  }

  async #steps(): Promise<readonly number[]> {
    const names = await readdir(this.#folder);
    return names.filter((name) => /^\d+$/.test(name)).map(Number);
  }

  #write(step: number, tensors: readonly SafetensorsTensor[], record: InitialRecord | StateRecord): Promise<void> {
    const files = new Map<string, Uint8Array>([
      [TENSORS_FILE, writeSafetensors(tensors)],
      [JSON_FILE, Buffer.from(JSON.stringify(record))],
    ]);
    return writeFolder(join(this.#folder, String(step)), files);
  }

  async #read<Stored extends InitialRecord | StateRecord>(step: number): Promise<{ tensors: Tensors; record: Stored }> {
    const folder = join(this.#folder, String(step));
    const record = JSON.parse(await readFile(join(folder, JSON_FILE), 'utf8')) as Stored;
    if (record.version !== VERSION || record.identity !== this.#identity)
      throw new Error(`checkpoint ${step} is of another job or of another version of the trainer`);
    const { tensors } = readSafetensors(await readFile(join(folder, TENSORS_FILE)));
    return { record, tensors: new Map([...tensors].map(([name, tensor]) => [name, tensorToFloat32(tensor)])) };
  }
}

function partsOf({ a, b, magnitude }: SiteValues): readonly (readonly [TrainedParameter['part'], Float32Array])[] {
  return [['A', a], ['B', b], ...(magnitude === null ? [] : [['magnitude', magnitude] as const])];
}

function nameOf(kind: string, { site, part }: Pick<TrainedParameter, 'site' | 'part'>): string {
  return `${kind}.${site}.${part}`;
}

function tensorOf(tensors: Tensors, name: string): Float32Array {
  const values = tensors.get(name);
  if (values === undefined) throw new Error(`the checkpoint has no ${name}`);
  return values;
}
