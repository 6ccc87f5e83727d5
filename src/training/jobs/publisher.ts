// A finished job becomes an adapter version and two result files. Doing it twice is doing it once: the registry knows equal bytes, and the row
// says which bytes they are before anything is published.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { AdapterRegistry, HeldBlob } from '../../adapters/index.ts';
import type { Clock, Digest } from '../../core/index.ts';
import type { FileRow, JobRow, JobStore } from '../../storage/index.ts';
import type { JobResult } from '../messages.ts';
import { messageEvent, stepRecordOf } from './events.ts';
import { type JobFolders, PEFT_FILES } from './job-folders.ts';
import { type FinishedRecord, finishedOf } from './job-record.ts';
import { type LossCurve, lossCurveJson, lossCurveSvg } from './loss-curve.ts';

export interface JobPublisherParts {
  readonly jobs: JobStore;
  readonly folders: JobFolders;
  readonly adapters: Pick<AdapterRegistry, 'upload' | 'uploadFolder' | 'keeper'>;
  readonly clock: Clock;
}

export interface JobPublisher {
  /** What the row keeps of a result, as JSON text. Rejects when its files cannot be read. */
  seal(jobId: string, result: JobResult): Promise<string>;
  /** Publishes a sealed result and ends the job. Rejects when the adapter is refused, or its files are not those that were sealed. */
  publish(row: JobRow): Promise<void>;
}

export function createJobPublisher({ jobs, folders, adapters, clock }: JobPublisherParts): JobPublisher {
  return {
    async seal(jobId, result) {
      const [config, tensors] = await digestsOf(folders, jobId);
      const record: FinishedRecord = { result, files: { config, tensors } };
      return JSON.stringify(record);
    },
    async publish(row) {
      const finished = finishedOf(row);
      if (finished === null) throw new Error(`publisher: job ${row.id} has no result`);
      const [config, tensors] = await digestsOf(folders, row.id);
      if (config !== finished.files.config || tensors !== finished.files.tensors)
        throw new Error(`publisher: the result of job ${row.id} is not what the trainer reported`);
      const parts = PEFT_FILES.map((fileName) => ({ fileName, path: join(adapters.uploadFolder, `${randomUUID()}.trained`) }));
      for (const { fileName, path } of parts) await copyFile(folders.resultFile(row.id, fileName), path);
      const { version } = await adapters.upload(row.tenant, row.adapterName, parts, { activate: true });
      const curve = curveOf(jobs, row);
      const held: HeldBlob[] = [];
      try {
        for (const text of [lossCurveJson(curve), lossCurveSvg(curve)]) held.push(await adapters.keeper.put(Buffer.from(text)));
        const files = held.map((blob, index) => resultFile(row, blob, index, clock.now()));
        const changes = {
          status: 'succeeded',
          leaseUntilMs: null,
          finishedAtMs: clock.now(),
          publishedVersion: version.version,
          publishedDigest: version.digest,
          resultFiles: files.map(({ id }) => id),
        } as const;
        const events = [messageEvent(clock.now(), `published as ${row.adapterName}@${version.version}`)];
        jobs.change(row.id, { statuses: ['running'], fence: row.fence }, changes, { events, files });
      } finally {
        for (const blob of held) blob.release();
      }
    },
  };
}

const RESULT_FILES = ['loss.json', 'loss.svg'];

function resultFile({ id, tenant }: JobRow, { digest, bytes }: HeldBlob, index: number, createdAtMs: number): FileRow {
  const name = RESULT_FILES[index] ?? 'result';
  const fileId = `file-${id.replace(/^ftjob-/, '')}-${name.replace('.', '-')}`;
  return { id: fileId, tenant, digest, bytes, fileName: `${id}-${name}`, purpose: 'fine-tune-results', createdAtMs };
}

function curveOf(jobs: JobStore, { id, adapterName }: JobRow): LossCurve {
  return { job: id, adapter: adapterName, steps: jobs.metrics(id).flatMap((event) => stepRecordOf(event) ?? []) };
}

async function digestsOf(folders: JobFolders, jobId: string): Promise<readonly [Digest, Digest]> {
  const [config, tensors] = PEFT_FILES;
  return [await digestOf(folders.resultFile(jobId, config)), await digestOf(folders.resultFile(jobId, tensors))];
}

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex') as Digest;
}
