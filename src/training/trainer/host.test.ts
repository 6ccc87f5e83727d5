import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { FakeComputation } from '../../../test/support/fake-training.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { TINY_BASE, tinyWeights } from '../../../test/support/tiny-base.ts';
import { silentLogger } from '../../core/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import { resolveHyperparameters } from '../defaults.ts';
import type { FromTrainer, JobOrder, ToTrainer } from '../messages.ts';
import { rowTextOf } from '../rows/index.ts';
import { hostTrainer } from './host.ts';
import type { JobPorts } from './job.ts';

const folder = temporaryFolder();
/** One token a character. */
const tokenizer: Tokenizer = {
  vocabularySize: 384,
  eosTokenId: 2,
  bosTokenId: null,
  addBos: false,
  encode: (text) => Array.from(text, (character) => 3 + (character.codePointAt(0) ?? 0)),
  decode: () => '',
  tokenBytes: () => new Uint8Array(),
  isSpecial: () => false,
};

const ports: JobPorts = {
  openBase: async () => ({
    description: TINY_BASE,
    text: rowTextOf(tokenizer, null, [2]),
    weights: tinyWeights(),
    close: async () => undefined,
  }),
  openComputation: async (options) => new FakeComputation(options),
  openGradients: async () => {
    throw new Error('not asked for');
  },
  openProducts: () => {
    throw new Error('not asked for');
  },
  clock: { now: () => 0, monotonic: () => 0 },
};

/** A host over ports, with the messages that it sent; `said` resolves at the first message of a kind. */
function hosted(jobPorts: JobPorts = ports) {
  const sent: FromTrainer[] = [];
  const waiting: { readonly kind: FromTrainer['kind']; readonly resolve: (message: FromTrainer) => void }[] = [];
  let receive: (message: ToTrainer) => void = () => undefined;
  const onShutdown = vi.fn<() => void>();
  hostTrainer(
    {
      send: (message) => {
        sent.push(message);
        for (const { kind, resolve } of waiting) if (kind === message.kind) resolve(message);
      },
      onMessage: (listener) => (receive = listener),
    },
    jobPorts,
    { logger: silentLogger, onShutdown },
  );
  const said = (kind: FromTrainer['kind']) => new Promise<FromTrainer>((resolve) => void waiting.push({ kind, resolve }));
  return { sent, said, tell: (message: ToTrainer) => receive(message), onShutdown };
}

let jobCount = 0;

function order(maxSteps: number, changes: Partial<JobOrder> = {}): JobOrder {
  jobCount += 1;
  const jobFolder = join(folder, String(jobCount));
  mkdirSync(jobFolder);
  const trainingFile = join(jobFolder, 'rows.jsonl');
  writeFileSync(trainingFile, '{"text": "abc"}\n{"text": "bcd"}\n');
  return {
    jobId: `job-${jobCount}`,
    fence: 7,
    modelFolder: 'tiny',
    trainingFile,
    validationFile: null,
    initialAdapter: null,
    jobFolder,
    hyperparameters: resolveHyperparameters({ maxSteps, lora: { r: 1 } }, 1, 256),
    threadCount: 1,
    memoryBudgetBytes: 1e9,
    checkpointSteps: 2,
    ...changes,
  };
}

const ENDLESS = 1_000_000;

describe('the trainer process', () => {
  it('says that it is ready, runs a job and says how it ends, each message with job and fence', async () => {
    const { sent, said, tell } = hosted();
    const finished = said('finished');
    tell({ kind: 'start', order: order(3) });
    await finished;
    expect(sent.map(({ kind }) => kind)).toEqual(['ready', 'started', 'step', 'step', 'checkpoint', 'step', 'finished']);
    for (const message of sent.slice(1)) expect(message).toMatchObject({ jobId: `job-${jobCount}`, fence: 7 });
  });

  it('answers while a job runs, and refuses a second one', async () => {
    const { said, tell } = hosted();
    const first = order(ENDLESS);
    const started = said('started');
    tell({ kind: 'start', order: first });
    await started;
    const [pong, failed, paused] = [said('pong'), said('failed'), said('paused')];
    tell({ kind: 'ping' });
    await pong;
    const second = order(1);
    tell({ kind: 'start', order: second });
    expect(await failed).toMatchObject({ jobId: second.jobId, code: 'conflict', message: 'the trainer has a job already' });
    tell({ kind: 'pause', jobId: 'another' });
    tell({ kind: 'pause', jobId: first.jobId });
    expect(await paused).toMatchObject({ jobId: first.jobId });
  });

  it('goes on after a pause where it was', async () => {
    const { sent, said, tell } = hosted();
    const paused = order(ENDLESS);
    const step = said('step');
    tell({ kind: 'start', order: paused });
    await step;
    const pausedMessage = said('paused');
    tell({ kind: 'pause', jobId: paused.jobId });
    const { step: at } = (await pausedMessage) as Extract<FromTrainer, { kind: 'paused' }>;
    expect(at).toBe(sent.filter(({ kind }) => kind === 'step').length);
    const resumed = said('started');
    tell({ kind: 'start', order: { ...paused, fence: 8 } });
    expect(await resumed).toMatchObject({ fence: 8, resumedFromStep: at });
    const cancelled = said('cancelled');
    tell({ kind: 'cancel', jobId: paused.jobId });
    expect(await cancelled).toMatchObject({ fence: 8 });
  });

  it('ends at a shutdown without a word about the job, which resumes elsewhere', async () => {
    const { sent, said, tell, onShutdown } = hosted();
    const stopped = order(ENDLESS);
    const step = said('step');
    tell({ kind: 'start', order: stopped });
    await step;
    tell({ kind: 'shutdown' });
    await vi.waitFor(() => expect(onShutdown).toHaveBeenCalledOnce());
    const { kind, ...last } = sent.at(-1) as Extract<FromTrainer, { kind: 'step' }>;
    expect(['step', 'checkpoint']).toContain(kind);
    const next = hosted();
    const started = next.said('started');
    next.tell({ kind: 'start', order: stopped });
    const { resumedFromStep } = (await started) as Extract<FromTrainer, { kind: 'started' }>;
    expect(resumedFromStep).toBeGreaterThanOrEqual(last.metrics?.step ?? 1);
    next.tell({ kind: 'shutdown' });
    await vi.waitFor(() => expect(next.onShutdown).toHaveBeenCalledOnce());
  });

  it('shuts down at once when it has no job', () => {
    const { tell, onShutdown } = hosted();
    tell({ kind: 'shutdown' });
    expect(onShutdown).toHaveBeenCalledOnce();
  });

  it('fails with the text that is safe to show, and with none that is not', async () => {
    const { said, tell } = hosted();
    const refused = said('failed');
    tell({ kind: 'start', order: order(1, { hyperparameters: resolveHyperparameters({ lora: { targetModules: ['x'] } }, 1, 256) }) });
    expect(await refused).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('got "x"') as string });
    const failed = said('failed');
    tell({ kind: 'start', order: order(1, { hyperparameters: resolveHyperparameters({ lora: { init: 'lora_ga' } }, 1, 256) }) });
    expect(await failed).toMatchObject({ code: 'internal', message: "the trainer failed; the server's log says why" });
  });
});
