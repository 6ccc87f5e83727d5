// Files of tenants: rows over content-addressed blobs. What is in a file is looked at when a job wants to train on it.
import { AppError, type Clock, type Random, type TenantId } from '../../core/index.ts';
import type { BlobKeeper } from '../../adapters/index.ts';
import type { FileRow, FileStore } from '../../storage/index.ts';
import type { Page, PageRequest, TrainingFile, TrainingFiles } from '../port.ts';
import { newFileId } from './ids.ts';
import { readPage } from './pages.ts';

export interface TrainingFilesParts {
  readonly files: FileStore;
  readonly keeper: BlobKeeper;
  readonly clock: Clock;
  readonly random: Random;
}

export function createTrainingFiles({ files, keeper, clock, random }: TrainingFilesParts): TrainingFiles {
  const existing = (tenant: TenantId, id: string): FileRow => {
    const row = files.get(tenant, id);
    if (row === null) throw fileNotFound();
    return row;
  };
  return {
    uploadFolder: keeper.temporaryFolder,
    async add(tenant, { path, fileName }) {
      const { digest, bytes, release } = await keeper.adopt(path);
      try {
        const row: FileRow = { id: newFileId(random), tenant, digest, bytes, fileName, purpose: 'fine-tune', createdAtMs: clock.now() };
        files.add(row);
        return fileOf(row);
      } finally {
        release();
      }
    },
    list: (tenant, page): Page<TrainingFile> =>
      readPage(page, (asked: PageRequest) => files.list(tenant, { ...asked, purpose: page.purpose }), fileOf),
    get: (tenant, id) => fileOf(existing(tenant, id)),
    open(tenant, id) {
      const row = existing(tenant, id);
      return { file: fileOf(row), stream: keeper.open(row.digest).stream };
    },
    remove(tenant, id) {
      const row = existing(tenant, id);
      files.remove(tenant, id);
      keeper.suspect([row.digest]);
    },
  };
}

/** One text for missing and foreign. */
export function fileNotFound(param?: string): AppError {
  const where = param === undefined ? '' : `"${param}": `;
  return new AppError('not_found', `${where}no such file: GET /v1/files lists yours`, param === undefined ? {} : { param });
}

function fileOf({ id, bytes, createdAtMs, fileName, purpose }: FileRow): TrainingFile {
  return { id, bytes, createdAtMs, fileName, purpose };
}
