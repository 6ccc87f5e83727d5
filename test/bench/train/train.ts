// The part `train`: steps of AdamW on the same rows, ours and PEFT on torch in turns, against torch and against the machine's float32 peak.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ModelPackage } from '../../../src/models/index.ts';
import { createTokenizer } from '../../../src/text/index.ts';
import type { MachineLimits } from '../limits/limits-child.ts';
import type { BenchOptions } from '../options.ts';
import { pythonWith } from '../peers/environment.ts';
import { summarise } from '../report/statistics.ts';
import { writeReport } from '../report/write.ts';
import { type Child, nodeCommand, startChild } from '../sides/child.ts';
import { openSubject, sourceFile } from '../subject.ts';
import { type TrainAnswer, type TrainOptions, type TrainQuestion, UNSUPERVISED } from './protocol.ts';

const WARM_UP_STEPS = 3;
const TIMED_STEPS = 6;
const E2E_ROWS = join(import.meta.dirname, '..', '..', 'fixtures', 'e2e', 'train.jsonl');
const E2E_BATCH = 8;

/** Bounds as promised to users: speed over torch's, share of the float32 peak that counts instead, memory over torch's. */
const LEAST_RATIO = { even: 1.2, ragged: 2 };
const LEAST_SHARE_OF_PEAK = 0.85;
const MOST_MEMORY = 0.7;

interface Workload {
  readonly name: string;
  readonly kind: keyof typeof LEAST_RATIO;
  readonly question: TrainQuestion;
  /** Tokens that a second is counted in: all of them, or the supervised ones where rows have prompts. */
  readonly countedTokens: readonly number[];
  /** Of the matrix products of a step, per step. */
  readonly operations: readonly number[];
}

interface Sample {
  readonly tokensPerSecond: number;
  readonly operationsPerSecond: number;
  readonly answer: TrainAnswer;
}

/** Whether every workload is within its bounds. */
export async function benchTrain({ rounds }: BenchOptions): Promise<boolean> {
  const model = await openSubject();
  const threadCount = availableParallelism();
  const options: TrainOptions = { modelFile: sourceFile(model), modelFolder: model.folder, threadCount };
  const workloads = makeWorkloads(model);
  const peak = await float32Peak(threadCount);
  const samples = new Map(workloads.map(({ name }) => [name, [] as (readonly [ours: Sample, torch: Sample])[]]));
  // Memory is a process's largest, so every workload of every round has processes of its own.
  for (let round = 0; round < rounds; round++)
    for (const workload of workloads) {
      const ours = await measure(await startOurs(options), workload);
      const torch = await measure(await startTorch(options), workload);
      samples.get(workload.name)?.push([ours, torch]);
      console.log(`${workload.name}: ours ${ours.tokensPerSecond.toFixed(0)}, torch ${torch.tokensPerSecond.toFixed(0)} tokens/s`);
    }
  const results = workloads.map((workload) => resultOf(workload, samples.get(workload.name) ?? [], peak));
  writeReport({
    part: 'train',
    header: [
      'workload',
      'ours, tokens/s',
      'torch, tokens/s',
      'ours : torch',
      'share of the float32 peak',
      'peak memory, MB (ours / torch)',
      'within bounds',
    ],
    rows: results.map(({ row }) => row),
    measurements: { peak, samples: Object.fromEntries(samples) },
    notes: [
      `Float32 peak of ONNX Runtime's products in this run: ${(peak / 1e9).toFixed(0)} GFLOP/s. ${rounds} rounds of ${TIMED_STEPS} steps, medians; forward, backward and AdamW.`,
      'Of E2E rows the supervised tokens are counted; torch pads its rows, ours are packed.',
    ],
  });
  await model.close();
  return results.every(({ within }) => within);
}

async function startOurs(options: TrainOptions): Promise<Child<TrainQuestion, TrainAnswer>> {
  return startChild('ours', nodeCommand(join(import.meta.dirname, 'ours.ts')), options);
}

async function startTorch(options: TrainOptions): Promise<Child<TrainQuestion, TrainAnswer>> {
  const peers = join(import.meta.dirname, '..', 'peers');
  const executable = await pythonWith({ name: 'peft', requirements: join(peers, 'requirements', 'peft.txt'), complete: false });
  return startChild(
    'PEFT, torch',
    { executable, args: [join(peers, 'peft_train_side.py')], environment: { OMP_NUM_THREADS: String(options.threadCount) } },
    options,
  );
}

async function measure(side: Child<TrainQuestion, TrainAnswer>, { question, countedTokens, operations }: Workload): Promise<Sample> {
  const answer = await side.ask(question);
  await side.stop();
  const seconds = answer.milliseconds.reduce((sum, next) => sum + next, 0) / 1000;
  const timed = (values: readonly number[]): number => values.slice(question.warmUp).reduce((sum, next) => sum + next, 0);
  return { answer, tokensPerSecond: timed(countedTokens) / seconds, operationsPerSecond: timed(operations) / seconds };
}

async function float32Peak(threadCount: number): Promise<number> {
  const child = await startChild<null, MachineLimits>('limits', nodeCommand(join(import.meta.dirname, '..', 'limits', 'limits-child.ts')), {
    threadCount,
  });
  const { float32PerSecond } = await child.ask(null);
  await child.stop();
  return float32PerSecond;
}

function resultOf({ name, kind }: Workload, pairs: readonly (readonly [Sample, Sample])[], peak: number) {
  const ours = summarise(pairs.map(([mine]) => mine.tokensPerSecond));
  const torch = summarise(pairs.map(([, theirs]) => theirs.tokensPerSecond));
  const ratio = summarise(pairs.map(([mine, theirs]) => mine.tokensPerSecond / theirs.tokensPerSecond));
  const share = summarise(pairs.map(([mine]) => mine.operationsPerSecond / peak));
  const [memory, torchMemory] = [0, 1].map((side) => Math.max(...pairs.map((pair) => pair[side]?.answer.peakBytes ?? 0)));
  const fast = ratio.median >= LEAST_RATIO[kind] || (kind === 'even' && share.median >= LEAST_SHARE_OF_PEAK);
  const within = fast && (memory ?? 0) <= MOST_MEMORY * (torchMemory ?? 0);
  const megabytes = (bytes: number | undefined): string => ((bytes ?? 0) / 1e6).toFixed(0);
  return {
    within,
    row: [
      name,
      ours.median.toFixed(0),
      torch.median.toFixed(0),
      `${ratio.median.toFixed(2)} (${ratio.smallest.toFixed(2)}–${ratio.largest.toFixed(2)})`,
      `${(100 * share.median).toFixed(0)} %`,
      `${megabytes(memory)} / ${megabytes(torchMemory)}`,
      within ? 'yes' : 'no',
    ],
  };
}

function makeWorkloads(model: ModelPackage): readonly Workload[] {
  const even = (rows: number, length: number, sites: TrainQuestion['sites'], rank: number): Workload => {
    const batches = Array.from({ length: WARM_UP_STEPS + TIMED_STEPS }, (_, step) =>
      Array.from({ length: rows }, (_row, row) => {
        const tokenIds = Array.from(
          { length },
          (_token, place) => (place * 7919 + (row + rows * step) * 104_729) % model.config.vocabularySize,
        );
        return { tokenIds, labels: tokenIds };
      }),
    );
    const name = `${rows} x ${length}, ${sites === 'qv' ? 'q and v' : 'all linears'}, rank ${rank}`;
    return workloadOf(model, name, 'even', { kind: 'train', sites, rank, batches, warmUp: WARM_UP_STEPS });
  };
  const tokenizer = createTokenizer(model.tokenizer);
  const [end = 2] = model.description.stopTokenIds;
  const rows = readFileSync(E2E_ROWS, 'utf8').split('\n', E2E_BATCH * (WARM_UP_STEPS + TIMED_STEPS));
  const examples = rows.map((line) => {
    const { prompt, completion } = JSON.parse(line) as { readonly prompt: string; readonly completion: string };
    const [before, after] = [tokenizer.encode(prompt), [...tokenizer.encode(completion), end]];
    return { tokenIds: [...before, ...after], labels: [...before.map(() => UNSUPERVISED), ...after] };
  });
  const batches = Array.from({ length: WARM_UP_STEPS + TIMED_STEPS }, (_, step) =>
    examples.slice(step * E2E_BATCH, (step + 1) * E2E_BATCH),
  );
  return [
    even(8, 64, 'qv', 8),
    even(4, 128, 'qv', 8),
    even(8, 64, 'all', 16),
    even(4, 128, 'all', 16),
    workloadOf(model, `E2E, ${E2E_BATCH} rows, q and v, rank 8`, 'ragged', {
      kind: 'train',
      sites: 'qv',
      rank: 8,
      batches,
      warmUp: WARM_UP_STEPS,
    }),
  ];
}

/** Operations: 2 a weight and token forward and as many backward, the head for supervised tokens alone; attention and adapters are left out. */
function workloadOf(model: ModelPackage, name: string, kind: Workload['kind'], question: TrainQuestion): Workload {
  const weights = model.description.sites
    .filter((site) => site.kind === 'linear')
    .reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
  const { hiddenSize, vocabularySize } = model.config;
  const counts = question.batches.map((rows) => ({
    tokens: rows.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    supervised: rows.reduce((sum, { labels }) => sum + labels.slice(1).filter((label) => label !== UNSUPERVISED).length, 0),
  }));
  return {
    name,
    kind,
    question,
    countedTokens: counts.map(({ tokens, supervised }) => (kind === 'even' ? tokens : supervised)),
    operations: counts.map(({ tokens, supervised }) => 4 * (tokens * weights + supervised * hiddenSize * vocabularySize)),
  };
}
