// /v1/adapters/{name}/versions/{version}/export: a version as the files of a format, whatever it was uploaded as.
import { Type } from 'typebox';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';
import { existingName, VersionParams } from './adapter-view.ts';

export function registerExport(app: App, { adapters }: AppServices): void {
  const schema = {
    tags: ['adapters'],
    summary: 'A version as PEFT files (a tar archive of the two) or as a GGUF adapter for llama.cpp',
    produces: ['application/x-tar', 'application/octet-stream'],
    params: VersionParams,
    querystring: Type.Object({ format: Type.Union([Type.Literal('peft'), Type.Literal('gguf')]) }, { additionalProperties: false }),
    response: { 200: Type.Unsafe<Buffer>({ type: 'string', format: 'binary' }), ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters/:name/versions/:version/export', { schema }, async (request, reply) => {
    const { name, version } = request.params;
    const { tenant } = principalOf(request);
    const exported = await adapters.exportVersion(tenant, existingName(name), Number(version), request.query.format);
    const { fileName, contentType, bytes } = exported;
    void reply.header('content-type', contentType).header('content-disposition', `attachment; filename="${fileName}"`);
    return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  });
}
