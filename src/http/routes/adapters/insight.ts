// /v1/adapters/{name}/inspect and /v1/adapters/{a}/compare/{b}: what adapters do to the base, and how alike they are.
import { Type } from 'typebox';
import { heatMap, meanByModule, type AdapterLease } from '../../../adapters/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { App, AppServices } from '../../services.ts';

const tags = ['adapters'];
const Reference = Type.String({ description: 'An adapter reference: name, name@version or tenant/name' });
const Fraction = Type.Union([Type.Number(), Type.Null()]);

const SiteInsightView = Type.Object({
  site: Type.String(),
  layer: Type.Union([Type.Integer(), Type.Null()]),
  module: Type.String(),
  rank: Type.Integer(),
  delta_norm: Type.Number({ description: 'Frobenius norm of s BA' }),
  relative_norm: Type.Number({ description: "The same over the norm of the base's weight" }),
  singular_values: Type.Array(Type.Number()),
  effective_rank: Type.Number({ description: 'exp of the entropy of the singular values (Roy and Vetterli 2007)' }),
  rank_90: Type.Integer({ description: 'Directions that hold 90 % of the squared norm' }),
  amplification: Fraction,
  dora_gain_shift: Fraction,
  bytes: Type.Integer(),
});

const InsightView = Type.Object({
  object: Type.Literal('adapter.insight'),
  adapter: Type.String(),
  digest: Type.String(),
  rank: Type.Integer(),
  bytes: Type.Integer(),
  parameters: Type.Integer(),
  sites: Type.Array(SiteInsightView),
});

const Similarity = Type.Object({ site: Type.String(), phi: Type.Array(Type.Array(Type.Number())) });

const ComparisonView = Type.Object({
  object: Type.Literal('adapter.comparison'),
  adapters: Type.Array(Type.String()),
  side: Type.String(),
  modules: Type.Array(Similarity, { description: 'Mean of phi(i, j) over the layers of a module' }),
  sites: Type.Array(Similarity),
  only_first: Type.Array(Type.String()),
  only_second: Type.Array(Type.String()),
});

export function registerInsight(app: App, services: AppServices): void {
  registerInspect(app, services);
  registerCompare(app, services);
}

function registerInspect(app: App, { adapters, insights }: AppServices): void {
  const schema = {
    tags,
    summary: 'Norms, effective rank and amplified directions of an adapter, a site at a time',
    params: Type.Object({ name: Reference }),
    response: { 200: InsightView, ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters/:name/inspect', { schema }, async (request) => {
    using lease = held(adapters.lease(principalOf(request).tenant, request.params.name));
    const { sites, ...whole } = await insights.inspect(lease.packedPath);
    return {
      object: 'adapter.insight' as const,
      adapter: label(lease),
      digest: lease.version.digest,
      ...whole,
      sites: sites.map(({ deltaNorm, relativeNorm, singularValues, effectiveRank, rank90, gainShift, ...site }) => ({
        ...site,
        delta_norm: deltaNorm,
        relative_norm: relativeNorm,
        singular_values: [...singularValues],
        effective_rank: effectiveRank,
        rank_90: rank90,
        dora_gain_shift: gainShift,
      })),
    };
  });
}

function registerCompare(app: App, { adapters, insights }: AppServices): void {
  const schema = {
    tags,
    summary: 'Subspace similarity phi(i, j) of two adapters (LoRA paper, section 7.2), as JSON or as a heat map',
    params: Type.Object({ name: Reference, other: Reference }),
    querystring: Type.Object(
      {
        side: Type.Optional(
          Type.Union([Type.Literal('input'), Type.Literal('output')], { description: 'Directions that are read (default) or written' }),
        ),
        format: Type.Optional(Type.Union([Type.Literal('json'), Type.Literal('svg')])),
      },
      { additionalProperties: false },
    ),
    response: { 200: Type.Union([ComparisonView, Type.String()]), ...OPENAI_ERRORS },
  };
  app.get('/v1/adapters/:name/compare/:other', { schema }, async (request, reply) => {
    const { tenant } = principalOf(request);
    const { side = 'input', format = 'json' } = request.query;
    using first = held(adapters.lease(tenant, request.params.name));
    using second = held(adapters.lease(tenant, request.params.other));
    const { sites, onlyFirst, onlySecond } = await insights.compare(first.packedPath, second.packedPath, side);
    const modules = meanByModule(sites);
    const [rows, columns] = [label(first), label(second)];
    if (format === 'svg') {
      const titles = { title: `Shared ${side} directions of ${rows} and ${columns}: phi(i, j), mean over layers`, rows, columns };
      return await reply.type('image/svg+xml').send(heatMap(titles, modules));
    }
    const view = (list: typeof sites) => list.map(({ site, phi }) => ({ site, phi: phi.map((row) => [...row]) }));
    return {
      object: 'adapter.comparison' as const,
      adapters: [rows, columns],
      side,
      modules: view(modules),
      sites: view(sites),
      only_first: [...onlyFirst],
      only_second: [...onlySecond],
    };
  });
}

function held(lease: AdapterLease): AdapterLease & Disposable {
  return { ...lease, [Symbol.dispose]: () => lease.release() };
}

function label({ version: { name, version } }: AdapterLease): string {
  return `${name}@${version}`;
}
