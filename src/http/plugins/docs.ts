// The API description: built from the routes' own schemas, as /openapi.json and as a page at /docs.
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { Type } from 'typebox';
import { TGI_ERRORS } from '../error-schemas.ts';
import type { App, AppServices } from '../services.ts';
import { accessOf } from './access-table.ts';

export async function registerDocs(app: App, services: AppServices): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: {
        title: 'Lorikeet',
        description:
          'Multi-tenant LoRA adapter inference server: one frozen base model, many adapters. A field set to null counts as absent.',
        version: services.version,
        license: { name: 'Apache-2.0' },
      },
      tags: [
        { name: 'openai', description: 'OpenAI-compatible inference' },
        { name: 'tgi', description: 'TGI- and LoRAX-compatible inference' },
        { name: 'adapters', description: 'Upload, list and remove adapters' },
        { name: 'training', description: 'Train adapters from files of rows' },
        { name: 'admin', description: 'Hot swap, placement and keys' },
        { name: 'operations', description: 'Health and metrics' },
      ],
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => ({ schema: { ...schema, ...securityOf(String(route.method), url) }, url }),
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
}

/** Registered after every other route, so that the description holds them all. */
export function registerDescriptionRoute(app: App): void {
  app.get(
    '/openapi.json',
    {
      schema: {
        tags: ['operations'],
        summary: 'This description as OpenAPI 3',
        response: { 200: Type.Object({}, { additionalProperties: true }), ...TGI_ERRORS },
      },
    },
    () => app.swagger(),
  );
}

function securityOf(method: string, url: string): { security?: { [name: string]: string[] }[] } {
  const access = accessOf(method, url);
  return access === undefined || access === 'public' ? {} : { security: [{ key: [access] }] };
}
