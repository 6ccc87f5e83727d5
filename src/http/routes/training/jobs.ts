// /v1/fine_tuning/jobs: make, read and steer training jobs of the caller's tenant, in OpenAI's shape.
import { Type } from 'typebox';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import { dropNullFieldsTo } from '../../plugins/null-fields.ts';
import type { App, AppServices } from '../../services.ts';
import { registerJobEvents } from './job-events.ts';
import { JOB_BODY_DEPTH, JobBody, jobRequest } from './job-schema.ts';
import { CheckpointView, checkpointView, JobView, jobView } from './job-view.ts';
import { listOf, listSchema, PAGE_QUERY, pageRequest } from './paging.ts';

const tags = ['training'];
const JobParams = Type.Object({ id: Type.String() });

export function registerJobRoutes(app: App, services: AppServices): void {
  registerJobCreation(app, services);
  registerJobReads(app, services);
  registerJobEvents(app, services);
  registerCheckpoints(app, services);
  registerSteering(app, services);
}

function registerJobCreation(app: App, { training }: AppServices): void {
  const schema = {
    tags,
    summary: 'Train an adapter; it is published under its name when the job succeeds',
    body: JobBody,
    response: { 200: JobView, ...OPENAI_ERRORS },
  };
  app.post('/v1/fine_tuning/jobs', { schema, preValidation: dropNullFieldsTo(JOB_BODY_DEPTH) }, async (request) => {
    const { tenant } = principalOf(request);
    return jobView(await training.jobs.create(tenant, jobRequest(request.body)));
  });
}

function registerJobReads(app: App, { training }: AppServices): void {
  const list = {
    tags,
    summary: "The tenant's jobs, newest first",
    querystring: Type.Object(PAGE_QUERY, { additionalProperties: false }),
    response: { 200: listSchema(JobView), ...OPENAI_ERRORS },
  };
  app.get('/v1/fine_tuning/jobs', { schema: list }, (request) => {
    const page = training.jobs.list(principalOf(request).tenant, pageRequest(request.query));
    return listOf(page.entries.map(jobView), page.hasMore);
  });
  const one = { tags, summary: 'One job', params: JobParams, response: { 200: JobView, ...OPENAI_ERRORS } };
  app.get('/v1/fine_tuning/jobs/:id', { schema: one }, (request) =>
    jobView(training.jobs.get(principalOf(request).tenant, request.params.id)),
  );
}

function registerCheckpoints(app: App, { training }: AppServices): void {
  const schema = {
    tags,
    summary: 'Checkpoints of a job, newest first',
    params: JobParams,
    querystring: Type.Object(PAGE_QUERY, { additionalProperties: false }),
    response: { 200: listSchema(CheckpointView), ...OPENAI_ERRORS },
  };
  app.get('/v1/fine_tuning/jobs/:id/checkpoints', { schema }, (request) => {
    const { tenant } = principalOf(request);
    const { id } = request.params;
    const job = training.jobs.get(tenant, id);
    const page = training.jobs.checkpoints(tenant, id, pageRequest(request.query));
    return listOf(
      page.entries.map((checkpoint) => checkpointView(job, checkpoint)),
      page.hasMore,
    );
  });
}

const STEERING = [
  ['cancel', 'End a job without a result'],
  ['pause', 'Pause a job, after its present step when it runs'],
  ['resume', 'Queue a paused job again; it goes on from its last checkpoint'],
] as const;

function registerSteering(app: App, { training }: AppServices): void {
  for (const [verb, summary] of STEERING) {
    const schema = { tags, summary, params: JobParams, response: { 200: JobView, ...OPENAI_ERRORS } };
    app.post(`/v1/fine_tuning/jobs/:id/${verb}`, { schema }, (request) =>
      jobView(training.jobs[verb](principalOf(request).tenant, request.params.id)),
    );
  }
}
