// What every storage driver must do for training: files, the queue of jobs, fences, events and checkpoints.
import { describe, expect, it } from 'vitest';
import type { TenantId } from '../../src/core/index.ts';
import type { JobRow, Storage } from '../../src/storage/index.ts';
import { digestOf } from './rows.ts';
import { fileRow, jobContent, messageEvent, stepEvent } from './training-rows.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const BASE = digestOf('base');
const LEASE_MS = 60_000;

export function describeTrainingStorage(storage: () => Storage): void {
  describe('files', () => {
    describeFiles(storage);
  });
  describe('the queue', () => {
    describeQueue(storage);
  });
  describe('a job', () => {
    describeChanges(storage);
  });
  describe('events and checkpoints', () => {
    describeRecords(storage);
  });
  describe('digests of training', () => {
    describeDigests(storage);
  });
}

function describeFiles(storage: () => Storage): void {
  it('are listed newest first, in pages, by purpose, and of one tenant only', () => {
    const { files } = storage();
    for (const id of ['a', 'b', 'c']) files.add(fileRow(ACME, id));
    files.add({ ...fileRow(ACME, 'curve'), purpose: 'fine-tune-results' });
    files.add(fileRow(GLOBEX, 'foreign'));
    const page = (after: string | null, limit: number, purpose: 'fine-tune' | null = null) =>
      files.list(ACME, { after, limit, purpose })?.map(({ id }) => id) ?? null;
    expect(page(null, 10)).toEqual(['curve', 'c', 'b', 'a']);
    expect(page(null, 2)).toEqual(['curve', 'c']);
    expect(page('c', 2)).toEqual(['b', 'a']);
    expect(page('a', 2)).toEqual([]);
    expect(page(null, 2, 'fine-tune')).toEqual(['c', 'b']);
    expect(page('foreign', 2)).toBeNull();
    expect(page('nobody', 2)).toBeNull();
  });

  it('come back as they were stored, and neither read nor removed by another tenant', () => {
    const { files } = storage();
    files.add(fileRow(ACME, 'a'));
    expect(files.get(ACME, 'a')).toEqual(fileRow(ACME, 'a'));
    expect(files.get(GLOBEX, 'a')).toBeNull();
    expect(files.remove(GLOBEX, 'a')).toBe(false);
    expect(files.remove(ACME, 'a')).toBe(true);
    expect(files.remove(ACME, 'a')).toBe(false);
    expect(files.get(ACME, 'a')).toBeNull();
  });

  it('have ids that no two share', () => {
    storage().files.add(fileRow(ACME, 'a'));
    expect(() => storage().files.add(fileRow(GLOBEX, 'a'))).toThrow(/taken|UNIQUE/);
  });
}

function describeQueue(storage: () => Storage): void {
  const queue = (tenant: TenantId, ...ids: readonly string[]): void => {
    for (const id of ids) storage().jobs.add(jobContent(tenant, id), 'queued', []);
  };
  const claim = (): JobRow | null => storage().jobs.claim(BASE, 5, LEASE_MS);
  const claimed = (count: number): readonly (string | undefined)[] => Array.from({ length: count }, () => claim()?.id);

  it('serves the tenants in turn, each in the order of its own jobs', () => {
    queue(ACME, 'a1', 'a2', 'a3');
    queue(GLOBEX, 'g1', 'g2');
    expect(claimed(6)).toEqual(['a1', 'g1', 'a2', 'g2', 'a3', undefined]);
  });

  it('lets a tenant that comes late wait for one job at most', () => {
    queue(ACME, 'a1', 'a2', 'a3');
    expect(claimed(2)).toEqual(['a1', 'a2']);
    queue(GLOBEX, 'g1');
    expect(claimed(2)).toEqual(['g1', 'a3']);
  });

  it('goes on with an interrupted job first', () => {
    queue(ACME, 'a1', 'a2');
    queue(GLOBEX, 'g1');
    const first = claim();
    storage().jobs.change('a1', { statuses: ['running'] }, { status: 'queued', interrupted: true, leaseUntilMs: null });
    const again = claim();
    expect([first?.id, again?.id, again?.fence, again?.interrupted]).toEqual(['a1', 'a1', 2, false]);
    expect(claimed(2)).toEqual(['g1', 'a2']);
  });

  it('gives a claimed job a lease, a fence and a time of start that stays', () => {
    queue(ACME, 'a1');
    expect(storage().jobs.get(ACME, 'a1')).toMatchObject({ status: 'queued', fence: 0, leaseUntilMs: null, startedAtMs: null });
    expect(claim()).toMatchObject({ status: 'running', fence: 1, leaseUntilMs: LEASE_MS, startedAtMs: 5 });
    storage().jobs.change('a1', { statuses: ['running'] }, { status: 'queued', leaseUntilMs: null });
    expect(storage().jobs.claim(BASE, 99, LEASE_MS)).toMatchObject({ fence: 2, startedAtMs: 5 });
  });

  it('passes over jobs of another base', () => {
    storage().jobs.add({ ...jobContent(ACME, 'other'), baseDigest: digestOf('other base') }, 'queued', []);
    queue(ACME, 'a1');
    expect(claimed(2)).toEqual(['a1', undefined]);
  });

  it('passes over jobs that are not queued', () => {
    storage().jobs.add(jobContent(ACME, 'checked'), 'validating_files', []);
    queue(ACME, 'paused');
    storage().jobs.change('paused', { statuses: ['queued'] }, { status: 'paused' });
    expect(claim()).toBeNull();
  });

  it('lists jobs by status over all tenants, oldest first', () => {
    queue(ACME, 'a1', 'a2');
    queue(GLOBEX, 'g1');
    claim();
    expect(
      storage()
        .jobs.withStatus(['queued', 'running'])
        .map(({ id }) => id),
    ).toEqual(['a1', 'a2', 'g1']);
    expect(
      storage()
        .jobs.withStatus(['running'])
        .map(({ id }) => id),
    ).toEqual(['a1']);
  });
}

function describeChanges(storage: () => Storage): void {
  it('comes back as it was added, to its tenant only', () => {
    const added = storage().jobs.add(jobContent(ACME, 'a1'), 'queued', []);
    expect(added).toMatchObject({ ...jobContent(ACME, 'a1'), status: 'queued', step: 0, resultFiles: [], result: null });
    expect(storage().jobs.get(ACME, 'a1')).toEqual(added);
    expect(storage().jobs.get(GLOBEX, 'a1')).toBeNull();
    const plain = { ...jobContent(ACME, 'a2'), validationDigest: null, initial: null };
    expect(storage().jobs.add(plain, 'queued', [])).toMatchObject(plain);
  });

  it('is listed newest first, in pages', () => {
    for (const id of ['a1', 'a2', 'a3']) storage().jobs.add(jobContent(ACME, id), 'queued', []);
    storage().jobs.add(jobContent(GLOBEX, 'g1'), 'queued', []);
    const page = (after: string | null, limit: number) =>
      storage()
        .jobs.list(ACME, { after, limit })
        ?.map(({ id }) => id) ?? null;
    expect(page(null, 2)).toEqual(['a3', 'a2']);
    expect(page('a2', 2)).toEqual(['a1']);
    expect(page('g1', 2)).toBeNull();
  });

  it('changes only from a status and a fence that the writer expects, and leaves no event otherwise', () => {
    const { jobs } = storage();
    jobs.add(jobContent(ACME, 'a1'), 'queued', []);
    jobs.claim(BASE, 0, LEASE_MS);
    const late = { events: [stepEvent(1)], checkpoint: { step: 1, atMs: 1, validLoss: null }, files: [fileRow(ACME, 'late')] };
    expect(jobs.change('a1', { statuses: ['running'], fence: 0 }, { step: 1 }, late)).toBeNull();
    expect(jobs.change('a1', { statuses: ['queued'] }, { step: 1 }, late)).toBeNull();
    expect(jobs.change('nobody', { statuses: ['running'] }, { step: 1 }, late)).toBeNull();
    expect(jobs.get(ACME, 'a1')).toMatchObject({ step: 0, status: 'running' });
    expect([jobs.events('a1', 0, 9), jobs.checkpoints('a1', null, 9), storage().files.get(ACME, 'late')]).toEqual([[], [], null]);
    expect(jobs.change('a1', { statuses: ['running'], fence: 1 }, { step: 1 }, late)).toMatchObject({ step: 1 });
    expect(jobs.events('a1', 0, 9)).toHaveLength(1);
    expect(storage().files.get(ACME, 'late')).not.toBeNull();
  });

  it('keeps every field of its state', () => {
    const { jobs } = storage();
    jobs.add(jobContent(ACME, 'a1'), 'queued', []);
    const state = {
      status: 'running',
      wanted: 'pause',
      fence: 7,
      deaths: 2,
      leaseUntilMs: 9,
      interrupted: true,
      totalSteps: 10,
      step: 4,
      startedAtMs: 1,
      finishedAtMs: 2,
      result: '{"steps":4}',
      errorCode: 'internal',
      errorMessage: 'x',
      errorParam: 'training_file',
      publishedVersion: 3,
      publishedDigest: digestOf('packed'),
      resultFiles: ['file-1', 'file-2'],
    } as const;
    jobs.change('a1', { statuses: ['queued'] }, state);
    expect(jobs.get(ACME, 'a1')).toMatchObject(state);
  });

  it('has a lease exactly while it runs', () => {
    const { jobs } = storage();
    jobs.add(jobContent(ACME, 'a1'), 'queued', []);
    jobs.claim(BASE, 0, LEASE_MS);
    expect(() => jobs.change('a1', { statuses: ['running'] }, { status: 'queued' })).toThrow(/lease|CHECK/);
    expect(jobs.get(ACME, 'a1')?.status).toBe('running');
  });
}

function describeRecords(storage: () => Storage): void {
  it('numbers events from 1, keeps one a step, and answers them both ways', () => {
    const { jobs } = storage();
    jobs.add(jobContent(ACME, 'a1'), 'queued', [messageEvent('made')]);
    jobs.change('a1', { statuses: ['queued'] }, {}, { events: [stepEvent(1, '{"x":1}'), stepEvent(2)] });
    jobs.change('a1', { statuses: ['queued'] }, {}, { events: [messageEvent('between')] });
    jobs.change('a1', { statuses: ['queued'] }, {}, { events: [stepEvent(1, '{"x":2}')] });
    expect(jobs.events('a1', 0, 9).map(({ number, message, data }) => [number, message, data])).toEqual([
      [1, 'made', null],
      [2, 'step 1', '{"x":2}'],
      [3, 'step 2', '{}'],
      [4, 'between', null],
    ]);
    expect(jobs.events('a1', 2, 1).map(({ number }) => number)).toEqual([3]);
    expect(jobs.latestEvents('a1', null, 2).map(({ number }) => number)).toEqual([4, 3]);
    expect(jobs.latestEvents('a1', 3, 9).map(({ number }) => number)).toEqual([2, 1]);
    expect(jobs.metrics('a1').map(({ step }) => step)).toEqual([1, 2]);
    expect(jobs.events('nobody', 0, 9)).toEqual([]);
  });

  it('keeps one checkpoint a step, newest first', () => {
    const { jobs } = storage();
    jobs.add(jobContent(ACME, 'a1'), 'queued', []);
    for (const [step, validLoss] of [
      [5, null],
      [10, 1.5],
      [10, 1.25],
    ] as const) {
      jobs.change('a1', { statuses: ['queued'] }, {}, { checkpoint: { step, atMs: step, validLoss } });
    }
    expect(jobs.checkpoints('a1', null, 9)).toEqual([
      { step: 10, atMs: 10, validLoss: 1.25 },
      { step: 5, atMs: 5, validLoss: null },
    ]);
    expect(jobs.checkpoints('a1', 10, 9).map(({ step }) => step)).toEqual([5]);
  });
}

function describeDigests(storage: () => Storage): void {
  it('of files count while the row is there, those of a job until it has ended', () => {
    const { files, jobs, adapters } = storage();
    files.add(fileRow(ACME, 'a'));
    files.add(fileRow(GLOBEX, 'b', 'a'));
    jobs.add(jobContent(ACME, 'j'), 'queued', []);
    jobs.add({ ...jobContent(ACME, 'k'), validationDigest: null, initial: null }, 'paused', []);
    const own = ['training of j', 'validation of j', 'config of j', 'tensors of j'].map(digestOf);
    expect([...adapters.referencedDigests()].toSorted()).toEqual([digestOf('a'), ...own, digestOf('training of k')].toSorted());
    files.remove(ACME, 'a');
    expect(adapters.isReferenced(digestOf('a'))).toBe(true);
    files.remove(GLOBEX, 'b');
    expect(adapters.isReferenced(digestOf('a'))).toBe(false);
    jobs.change('j', { statuses: ['queued'] }, { status: 'cancelled' });
    expect([...adapters.referencedDigests()]).toEqual([digestOf('training of k')]);
    expect(own.some((digest) => adapters.isReferenced(digest))).toBe(false);
  });
}
