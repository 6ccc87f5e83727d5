// `lorikeet train` against the app on a real socket, over a simulated trainer: what a person types, and what it prints.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandContext } from '../../src/cli/context.ts';
import { runCommandLine } from '../../src/cli/index.ts';
import { SimulatedTrainer } from '../support/simulated-trainer.ts';
import { openHarness, trainedAdapter, type HttpHarness } from './harness.ts';

let harness: HttpHarness;
let url: string;
let folder: string;
beforeAll(async () => {
  harness = await openHarness({ trainer: new SimulatedTrainer({ adapter: trainedAdapter, runs: true }) });
  url = await harness.app.listen({ host: '127.0.0.1', port: 0 });
  folder = mkdtempSync(join(tmpdir(), 'lorikeet-train-'));
  writeFileSync(join(folder, 'rows.jsonl'), '{"prompt":"a","completion":"b"}\n'.repeat(4));
  writeFileSync(join(folder, 'bad.jsonl'), '{"prompt":"a","completion":"b"}\nnonsense\n');
  const test = { prompt: 'say:the cat sat on the mat\n', references: ['the cat sat on the mat'] };
  writeFileSync(join(folder, 'test.jsonl'), `${JSON.stringify(test)}\n`.repeat(3));
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly notes: string;
}

async function train(words: readonly string[], terminal: Partial<CommandContext> = {}): Promise<Outcome> {
  const [output, notes] = [new PassThrough(), new PassThrough()];
  const context = { environment: { LORIKEET_URL: url }, workingDirectory: folder, isTerminal: false, output, notes, ...terminal };
  const status = await runCommandLine(['train', ...words], context);
  const text = (stream: PassThrough): string => String(stream.read() ?? '');
  return { status, output: text(output), notes: text(notes) };
}

const rows = (name: string): string => join(folder, name);

describe('lorikeet train', () => {
  it('starts a job, follows it as lines, and says what came of it', async () => {
    const started = await train(['start', rows('rows.jsonl'), '--name', 'poet', '--max-steps', '3', '--set', 'lora.alpha=4', '--watch']);
    expect([started.status, started.notes]).toEqual([0, expect.stringMatching(/^job ftjob-\w+ makes poet/)]);
    const lines = started.output.trimEnd().split('\n');
    expect(lines.slice(1)).toEqual([
      'training 3 steps',
      expect.stringMatching(/^step 1 of 3: training loss \d\.\d{4}, 100 tokens\/s$/),
      expect.stringMatching(/^step 2 of 3/),
      expect.stringMatching(/^step 3 of 3/),
      'published as poet@1',
      'poet@1 is published; try it with the model "poet"',
    ]);
  });

  it('prints JSON and nothing else with --json', async () => {
    const { output } = await train([
      'start',
      rows('rows.jsonl'),
      '--name',
      'json',
      '--targets',
      'q_proj,v_proj',
      '--rank',
      '2',
      '--json',
      '--watch',
    ]);
    expect(JSON.parse(output)).toMatchObject({
      status: 'succeeded',
      adapter_name: 'json',
      method: { supervised: { hyperparameters: { lora: { r: 2, target_modules: ['q_proj', 'v_proj'] } } } },
    });
  });

  it('draws the curve on a terminal, and draws over it', async () => {
    await train(['start', rows('rows.jsonl'), '--name', 'drawn']);
    const { output } = await train(['watch', 'drawn'], { outputIsTerminal: true, outputColumns: 60 });
    expect(output).toContain(`\u001b[`);
    expect(output).toMatch(/\[\d+A/);
    expect(output).toMatch(/[\u2801-\u28ff]/);
    expect(output).toMatch(/\[=+ *\] step 4 of 4/);
    expect(output.split('\n').every((line) => line.length <= 60 + 10)).toBe(true);
  });

  it('lists jobs, newest first', async () => {
    const { output } = await train(['list']);
    const [header = '', first = ''] = output.split('\n');
    expect(header).toMatch(/^job +adapter +status +step +loss +created$/);
    expect(first).toMatch(/^ftjob-\w+ +drawn@1 +succeeded +4\/4 +\d\.\d{4}/);
  });

  it('says why a job cannot be steered, and finds none that is not there', async () => {
    const refused = await train(['cancel', 'poet']);
    expect([refused.status, refused.notes]).toEqual([1, 'lorikeet: the job is succeeded and cannot be cancelled\n']);
    const missing = await train(['pause', 'nobody']);
    expect(missing.notes).toBe('lorikeet: no job makes an adapter "nobody"; see "lorikeet train list"\n');
  });

  it('pauses and resumes', async () => {
    // Until the next turn of the event loop the job is queued.
    const { id } = JSON.parse((await train(['start', rows('rows.jsonl'), '--name', 'steered', '--max-steps', '900', '--json'])).output) as {
      id: string;
    };
    const paused = await train(['pause', 'steered']);
    expect(paused.output).toMatch(new RegExp(`^job ${id} of steered is (paused|pausing after its present step)\n$`));
    const newest = async (): Promise<string> =>
      (JSON.parse((await train(['list', '--json'])).output) as { data: { status: string }[] }).data[0]?.status ?? '';
    await expect.poll(newest).toBe('paused');
    expect((await train(['resume', 'steered'])).output).toMatch(/is queued\n$/);
    expect((await train(['cancel', id])).output).toMatch(/is cancelled\n$/);
    const watched = await train(['watch', id]);
    expect([watched.status, watched.notes]).toEqual([1, 'lorikeet: the job was cancelled\n']);
  });

  it.each([
    [['start', 'missing.jsonl'], 2, 'cannot read missing.jsonl'],
    [['start', '{bad}'], 1, '"training_file": line 2: '],
    [['start', '{rows}', '--set', 'lora.r'], 2, '--set "lora.r": expected name=value'],
    [['start', '{rows}', '--set', 'lora.size=4'], 1, 'unsupported parameter "method.supervised.hyperparameters.lora.size"'],
    [['start', '{rows}', '--name', 'Not A Name'], 1, '"suffix": got "Not A Name"'],
    [['start', '{rows}', '--epochs', 'many'], 1, '"method.supervised.hyperparameters.n_epochs": got "many"'],
    [['sweep', '{rows}', '--test', '{bad}'], 2, 'bad.jsonl, line 1: expected {"prompt"'],
  ])('%j is refused in one line', async (words, status, message) => {
    const outcome = await train(words.map((word) => word.replace('{rows}', rows('rows.jsonl')).replace('{bad}', rows('bad.jsonl'))));
    expect(outcome.notes).toContain(message);
    expect(outcome.notes.trimEnd().split('\n')).toHaveLength(1);
    expect(outcome.status).toBe(status);
  });

  it('sweeps a grid: a job a point, a table, a picture, and no adapter left', async () => {
    const svg = rows('sweep.svg');
    const words = ['sweep', rows('rows.jsonl'), '--validation', rows('rows.jsonl'), '--test', rows('test.jsonl')];
    const { status, output, notes } = await train([
      ...words,
      '--ranks',
      '1,2',
      '--methods',
      'lora,rslora',
      '--max-steps',
      '2',
      '--svg',
      svg,
    ]);
    expect([status, notes.split('\n').filter((line) => line.includes(' of 4: '))]).toEqual([0, notes.trimEnd().split('\n')]);
    const lines = output.trimEnd().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatch(/^point +parameters +final loss +NLL +BLEU +seconds$/);
    expect(lines[4]).toMatch(/^rslora r=2 q,v +32 +\d\.\d{4} +- +100\.0 +\d+$/);
    expect(readFileSync(svg, 'utf8')).toContain('>rslora r=2 q,v<');
    const left = await harness.app.inject('/v1/adapters/sweep-1');
    expect(left.statusCode).toBe(404);
  });
});
