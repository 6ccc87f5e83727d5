// Merged adapters on the runtime against PEFT: every kind of adapter on the tiny models, those with full weights too, and the real model's.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../src/engine/index.ts';
import { type CompiledModel, ensureCompiled, type ModelPackage, openModelPackage } from '../../src/models/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { casesOf, type ExpectedAnswer, readExpected } from '../support/expected.ts';
import { mergedFormsOf, packFixture, type PackedFixture } from '../support/merged-forms.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { LOGPROB_FP32 } from '../support/tolerances.ts';

const CAPACITY = 256;
const ROW = 0;

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

  /** Largest difference of a log probability from the reference: the whole continuation, and the ten best tokens after the prompt. */
  distance({ digest }: PackedFixture, answers: readonly ExpectedAnswer[]): number {
    return Math.max(...answers.map((answer) => this.#distanceOf(digest, answer)));
  }

  #distanceOf(digest: PackedFixture['digest'], expected: ExpectedAnswer): number {
    const { prompt_token_ids: prompt, continuation_token_ids: continuation, continuation_logprobs: logprobs, top10 } = expected;
    const { vocabularySize } = this.executor.shape;
    this.executor.addRow(ROW, CAPACITY, null, digest);
    const tokenIds = [...prompt, ...continuation];
    const logits = this.executor.run({ kind: 'prefill', row: ROW, tokenIds, startPosition: 0, logits: 'all' });
    const line = (position: number): Float64Array =>
      logProbabilities(logits.subarray(position * vocabularySize, (position + 1) * vocabularySize));
    const differences = continuation.map((token, index) =>
      Math.abs((line(prompt.length - 1 + index)[token] ?? Number.NaN) - (logprobs[index] ?? Number.NaN)),
    );
    const next = line(prompt.length - 1);
    differences.push(...top10.map(([token, logprob]) => Math.abs((next[token] ?? Number.NaN) - logprob)));
    this.executor.removeRow(ROW);
    return differences.reduce((most, value) => (value <= most ? most : value), 0);
  }
}

function logProbabilities(logits: Float32Array): Float64Array {
  const largest = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return Float64Array.from(logits, (value) => value - largest - Math.log(sum));
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
