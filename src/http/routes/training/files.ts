// /v1/files: training data and results of the caller's tenant, in OpenAI's shape.
import type { Readable } from 'node:stream';
import { Type, type Static } from 'typebox';
import type { TrainingFile } from '../../../training/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';
import { receiveFile } from './file-upload.ts';
import { listOf, listSchema } from './paging.ts';

const tags = ['training'];
/** A form is a little larger than its file. */
const FORM_MARGIN_BYTES = 64 * 1024;
const DEFAULT_LIMIT = 10_000;

const Purpose = Type.Union([Type.Literal('fine-tune'), Type.Literal('fine-tune-results')], {
  description: '"fine-tune" or "fine-tune-results"',
});
const FileView = Type.Object({
  id: Type.String(),
  object: Type.Literal('file'),
  bytes: Type.Integer(),
  created_at: Type.Integer(),
  filename: Type.String(),
  purpose: Purpose,
  status: Type.Literal('processed'),
});
type FileView = Static<typeof FileView>;
const FileParams = Type.Object({ id: Type.String() });

export function registerFileRoutes(app: App, services: AppServices): void {
  registerFileUpload(app, services);
  registerFileReads(app, services);
  registerFileContent(app, services);
  const { files } = services.training;
  const Deleted = Type.Object({ id: Type.String(), object: Type.Literal('file'), deleted: Type.Literal(true) });
  const schema = {
    tags,
    summary: 'Delete a file; a job that uses it keeps its bytes until it has ended',
    params: FileParams,
    response: { 200: Deleted, ...OPENAI_ERRORS },
  };
  app.delete('/v1/files/:id', { schema }, (request) => {
    const { id } = request.params;
    files.remove(principalOf(request).tenant, id);
    return { id, object: 'file' as const, deleted: true as const };
  });
}

function registerFileUpload(app: App, { training, settings }: AppServices): void {
  const schema = {
    tags,
    summary: 'Upload rows to train on',
    description:
      'multipart/form-data with purpose=fine-tune and a file of JSON lines: {"messages": […]}, {"prompt", "completion"} or {"text"}. Rows are checked when a job is made of them.',
    consumes: ['multipart/form-data'],
    response: { 200: FileView, ...OPENAI_ERRORS },
  };
  const bodyLimit = settings.trainingFileMaxBytes + FORM_MARGIN_BYTES;
  app.post('/v1/files', { schema, bodyLimit }, async (request) => {
    const { tenant } = principalOf(request);
    const received = await receiveFile(request, training.files.uploadFolder, settings.trainingFileMaxBytes);
    return fileView(await training.files.add(tenant, received));
  });
}

function registerFileReads(app: App, { training }: AppServices): void {
  const list = {
    tags,
    summary: "The tenant's files, newest first",
    querystring: Type.Object(
      {
        after: Type.Optional(Type.String({ maxLength: 128 })),
        limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]{0,3}|10000)$', description: 'a whole number from 1 to 10000' })),
        order: Type.Optional(Type.Literal('desc')),
        purpose: Type.Optional(Purpose),
      },
      { additionalProperties: false },
    ),
    response: { 200: listSchema(FileView), ...OPENAI_ERRORS },
  };
  app.get('/v1/files', { schema: list }, (request) => {
    const { after = null, limit = String(DEFAULT_LIMIT), purpose = null } = request.query;
    const page = training.files.list(principalOf(request).tenant, { after, limit: Number(limit), purpose });
    return listOf(page.entries.map(fileView), page.hasMore);
  });
  const one = { tags, summary: 'One file', params: FileParams, response: { 200: FileView, ...OPENAI_ERRORS } };
  app.get('/v1/files/:id', { schema: one }, (request) => fileView(training.files.get(principalOf(request).tenant, request.params.id)));
}

function registerFileContent(app: App, { training }: AppServices): void {
  const schema = {
    tags,
    summary: 'The bytes of a file',
    produces: ['application/octet-stream'],
    params: FileParams,
    response: { 200: Type.Unsafe<Readable>({ type: 'string', format: 'binary' }), ...OPENAI_ERRORS },
  };
  app.get('/v1/files/:id/content', { schema }, (request, reply) => {
    const { file, stream } = training.files.open(principalOf(request).tenant, request.params.id);
    void reply
      .header('content-type', contentTypeOf(file))
      .header('content-length', file.bytes)
      // Never shown as a page of this origin, whatever is in it.
      .header('content-disposition', `attachment; filename*=UTF-8''${encodeURIComponent(file.fileName)}`)
      .header('x-content-type-options', 'nosniff');
    return stream;
  });
}

function contentTypeOf({ purpose, fileName }: TrainingFile): string {
  if (purpose !== 'fine-tune-results') return 'application/octet-stream';
  return fileName.endsWith('.svg') ? 'image/svg+xml' : 'application/json';
}

function fileView({ id, bytes, createdAtMs, fileName, purpose }: TrainingFile): FileView {
  const created = Math.floor(createdAtMs / 1000);
  return { id, object: 'file', bytes, created_at: created, filename: fileName, purpose, status: 'processed' };
}
