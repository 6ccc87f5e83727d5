// Merged adapters on the runtime against PEFT: every kind of adapter on the tiny models, those with full weights too, and the real model's.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../src/engine/index.ts';
import { type CompiledModel, ensureCompiled, type ModelPackage, openModelPackage } from '../../src/models/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { casesOf, type ExpectedAnswer, readExpected } from '../support/expected.ts';
import { mergedFormsOf, packFixture, type PackedFixture } from '../support/merged-forms.ts';
import { realModelFolder } from '../support/real-model.ts';
import { logProbabilities } from '../support/log-probabilities.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { KL_MERGED_TO_BASE, LOGPROB_FP32 } from '../support/tolerances.ts';

const CAPACITY = 256;
const ROW = 0;
const FETCH_AND_COMPILE_MS = 600_000;
const MERGE_MS = 120_000;

const FOLDERS = [
  ['tiny-adapters', 'tiny-llama'],
  ['tiny-adapters-untied', 'tiny-llama-untied'],
  ['tiny-adapters-merged', 'tiny-llama'],
] as const;

/** An executor whose merged forms are those of the fixtures that a test asks for. */
class Subject {
  readonly executor: ModelExecutor;
  readonly #model: ModelPackage;
  readonly #fixtures = new Map<string, PackedFixture>();

  constructor(model: ModelPackage, compiled: CompiledModel, folder: string) {
    this.#model = model;
    const mergedForms = mergedFormsOf(model, compiled, folder, (digest) => {
      const found = this.#fixtures.get(digest);
      if (!found) throw new Error(`no fixture ${digest}`);
      return found.adapter;
    });
    this.executor = createOrtExecutor({
      model: compiled,
      mergedForms,
      threadCount: 2,
      allowSpinning: false,
      maxRows: 2,
      maxContext: CAPACITY,
    });
  }

  async merge(path: string): Promise<PackedFixture> {
    const fixture = await packFixture(fixtureAdapter(path), this.#model);
    this.#fixtures.set(fixture.digest, fixture);
    await this.executor.prepareMerged(fixture.digest);
    await this.executor.loadMerged(fixture.digest);
    return fixture;
  }

  /** Log probabilities after each token of the prompt and the continuation, by the merged adapter; null: the base. */
  lines(
    digest: PackedFixture['digest'] | null,
    { prompt_token_ids: prompt, continuation_token_ids: continuation }: ExpectedAnswer,
  ): Float64Array[] {
    const { vocabularySize } = this.executor.shape;
    this.executor.addRow(ROW, CAPACITY, null, digest);
    const tokenIds = [...prompt, ...continuation];
    const logits = this.executor.run({ kind: 'prefill', row: ROW, tokenIds, startPosition: 0, logits: 'all' });
    const lines = tokenIds.map((_, index) => logProbabilities(logits.subarray(index * vocabularySize, (index + 1) * vocabularySize)));
    this.executor.removeRow(ROW);
    return lines;
  }

  /** Largest difference of a log probability from the reference: the whole continuation, and the ten best tokens after the prompt. */
  distance(fixture: PackedFixture, answers: readonly ExpectedAnswer[]): number {
    return Math.max(...answers.map((answer) => largestDifference(this.lines(fixture.digest, answer), answer)));
  }
}

function largestDifference(lines: readonly Float64Array[], expected: ExpectedAnswer): number {
  const { prompt_token_ids: prompt, continuation_token_ids: continuation, continuation_logprobs: logprobs, top10 } = expected;
  const differences = continuation.map((token, index) =>
    Math.abs((lines[prompt.length - 1 + index]?.[token] ?? Number.NaN) - (logprobs[index] ?? Number.NaN)),
  );
  const next = lines[prompt.length - 1];
  differences.push(...top10.map(([token, logprob]) => Math.abs((next?.[token] ?? Number.NaN) - logprob)));
  return differences.reduce((most, value) => (value <= most ? most : value), 0);
}

describe.each(FOLDERS)('%s merged into %s at fp32', (folder, baseName) => {
  const modelsDir = temporaryFolder();
  const file = readExpected(folder);
  const names = Object.keys(file.cases).filter((name) => name !== 'base');
  let subject: Subject;

  beforeAll(async () => {
    await importTinyModel(baseName, modelsDir);
    const model = await openModelPackage(join(modelsDir, baseName));
    subject = new Subject(model, await ensureCompiled(model, 'fp32'), join(modelsDir, 'merged'));
  });
  afterAll(() => subject.executor.close());

  it.each(names)('computes what PEFT computes: %s', async (name) => {
    const fixture = await subject.merge(`${folder}/${name}`);
    expect(subject.distance(fixture, casesOf(file, name))).toBeLessThan(LOGPROB_FP32);
    subject.executor.dropMerged(fixture.digest);
  });
});

/** Mean over positions of KL(P || Q) in nats, from log probabilities. */
function meanDivergence(p: readonly Float64Array[], q: readonly Float64Array[]): number {
  const divergences = p.map((line, index) =>
    line.reduce((sum, value, id) => sum + Math.exp(value) * (value - (q[index]?.[id] ?? Number.NEGATIVE_INFINITY)), 0),
  );
  return divergences.reduce((sum, value) => sum + value, 0) / divergences.length;
}

function linesOf(subject: Subject, digest: PackedFixture['digest'] | null, answers: readonly ExpectedAnswer[]): Float64Array[] {
  return answers.flatMap((answer) => subject.lines(digest, answer));
}

describe('the real model with adapters merged', () => {
  const folder = temporaryFolder();
  const file = readExpected('parity');
  const names = Object.keys(file.cases).filter((name) => name !== 'base');
  const subjects: Subject[] = [];

  beforeAll(async () => {
    const model = await openModelPackage(await realModelFolder());
    for (const precision of ['fp32', 'int8'] as const)
      subjects.push(new Subject(model, await ensureCompiled(model, precision), join(folder, precision)));
  }, FETCH_AND_COMPILE_MS);
  afterAll(() => {
    for (const { executor } of subjects) executor.close();
  });

  it.each(names)(
    'computes what PEFT computes at fp32, and at int8 what is as near to that as int8 is: %s',
    async (name) => {
      const [exact, quantised] = subjects;
      if (!exact || !quantised) throw new Error('the subjects are not there');
      const answers = casesOf(file, name);
      const fixture = await exact.merge(`parity/adapters/${name}`);
      await quantised.merge(`parity/adapters/${name}`);
      // At fp32 these are PEFT's own distributions, so those at int8 are compared with them whole and not in their ten best tokens.
      expect(exact.distance(fixture, answers)).toBeLessThan(LOGPROB_FP32);
      const divergence = (digest: PackedFixture['digest'] | null): number =>
        meanDivergence(linesOf(exact, digest, answers), linesOf(quantised, digest, answers));
      expect(divergence(null)).toBeGreaterThan(0);
      expect(divergence(fixture.digest) / divergence(null)).toBeLessThan(KL_MERGED_TO_BASE);
      for (const { executor } of subjects) executor.dropMerged(fixture.digest);
    },
    MERGE_MS,
  );
});
