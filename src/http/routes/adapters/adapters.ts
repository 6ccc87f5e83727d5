// /v1/adapters: upload, list, read and remove adapters of the caller's tenant.
import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { AdapterRegistry } from '../../../adapters/index.ts';
import type { TenantId } from '../../../core/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { adapterSlices, answerList, JSON_TYPE, listSchema, PageQuery } from '../../listing.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';
import { AdapterView, adapterView, existingName, NameParams, newName, VersionParams, VersionView, versionView } from './adapter-view.ts';
import { registerExport } from './export.ts';
import { registerInsight } from './insight.ts';
import { registerLoraLoading } from './lora-loading.ts';
import { receiveUpload } from './upload.ts';

const tags = ['adapters'];
const Deleted = Type.Object({ id: Type.String(), object: Type.Literal('adapter'), deleted: Type.Literal(true) });

export function registerAdapterRoutes(app: App, services: AppServices): void {
  registerUpload(app, services);
  registerReads(app, services);
  registerFileDownload(app, services);
  registerExport(app, services);
  registerInsight(app, services);
  registerRemovals(app, services);
  registerLoraLoading(app, services);
}

function registerUpload(app: App, services: AppServices): void {
  const schema = {
    tags,
    summary: 'Upload an adapter as a new version and activate it',
    description:
      'multipart/form-data with the two files of PEFT, adapter_config.json and adapter_model.safetensors, or with one GGUF adapter.',
    consumes: ['multipart/form-data'],
    params: NameParams,
    querystring: Type.Object(
      {
        activate: Type.Optional(
          Type.Union([Type.Literal('true'), Type.Literal('false')], { description: '"true" or "false"; false only stages the version' }),
        ),
      },
      { additionalProperties: false },
    ),
    response: { 200: VersionView, 201: VersionView, ...OPENAI_ERRORS },
  };
  app.put('/v1/adapters/:name', { schema, bodyLimit: services.settings.uploadMaxBytes }, async (request, reply) => {
    const { tenant } = principalOf(request);
    const name = newName(request.params.name, services.base.id);
    const parts = await receiveUpload(request, { folder: services.adapters.uploadFolder, maxBytes: services.settings.uploadMaxBytes });
    const { version, created } = await services.adapters.upload(tenant, name, parts, { activate: request.query.activate !== 'false' });
    void reply.header('location', `/v1/adapters/${name}/versions/${version.version}`);
    return reply.code(created ? 201 : 200).send(versionView(version));
  });
}

function registerReads(app: App, services: AppServices): void {
  const { adapters } = services;
  const list = {
    tags,
    summary: 'Adapters that the caller may use',
    querystring: PageQuery,
    response: { 200: listSchema(AdapterView), ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters', { schema: list }, (request, reply) => {
    const { limit, after } = request.query;
    void reply.type(JSON_TYPE);
    return answerList(viewSlices(adapters, principalOf(request).tenant, after), limit);
  });
  const one = { tags, summary: 'One adapter', params: NameParams, response: { 200: AdapterView, 304: Type.Null(), ...OPENAI_ERRORS } };
  app.get('/v1/adapters/:name', { schema: one }, (request, reply) => {
    const summary = adapters.get(principalOf(request).tenant, existingName(request.params.name));
    void reply.header('etag', summary.etag);
    return isUnchanged(request.headers['if-none-match'], summary.etag) ? notModified(reply) : adapterView(summary);
  });
  const versions = {
    tags,
    summary: 'Versions of an adapter',
    params: NameParams,
    response: { 200: Type.Object({ object: Type.Literal('list'), data: Type.Array(VersionView) }), ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters/:name/versions', { schema: versions }, (request) => {
    const data = adapters.versions(principalOf(request).tenant, existingName(request.params.name)).map(versionView);
    return { object: 'list' as const, data };
  });
}

function* viewSlices(adapters: AdapterRegistry, tenant: TenantId, after: string | undefined): Generator<readonly AdapterView[]> {
  for (const slice of adapterSlices(adapters, tenant, after)) yield slice.map(adapterView);
}

function isUnchanged(ifNoneMatch: string | undefined, etag: string): boolean {
  const etags = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return etags.includes(etag) || etags.includes('*');
}

function notModified(reply: FastifyReply): null {
  void reply.code(304);
  return null;
}

function registerFileDownload(app: App, services: AppServices): void {
  const schema = {
    tags,
    summary: 'A file of a version as it was uploaded',
    produces: ['application/octet-stream'],
    params: Type.Object({ ...VersionParams.properties, file: Type.String() }),
    response: { 200: Type.Unsafe<Readable>({ type: 'string', format: 'binary' }), ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters/:name/versions/:version/files/:file', { schema }, (request, reply) => {
    const { name, version, file } = request.params;
    const { stream, bytes } = services.adapters.openFile(principalOf(request).tenant, existingName(name), Number(version), file);
    void reply.header('content-type', 'application/octet-stream').header('content-length', bytes);
    return stream;
  });
}

function registerRemovals(app: App, services: AppServices): void {
  const whole = { tags, summary: 'Remove an adapter', params: NameParams, response: { 200: Deleted, ...OPENAI_ERRORS } };
  app.delete('/v1/adapters/:name', { schema: whole }, (request) => {
    const { name } = request.params;
    services.adapters.remove(principalOf(request).tenant, existingName(name));
    return { id: name, object: 'adapter' as const, deleted: true as const };
  });
  const version = { tags, summary: 'Remove a version', params: VersionParams, response: { 200: Deleted, ...OPENAI_ERRORS } };
  app.delete('/v1/adapters/:name/versions/:version', { schema: version }, (request) => {
    const { name, version: number } = request.params;
    services.adapters.removeVersion(principalOf(request).tenant, existingName(name), Number(number));
    return { id: `${name}@${number}`, object: 'adapter' as const, deleted: true as const };
  });
}
