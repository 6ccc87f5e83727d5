// /v1/fine_tuning/jobs/{id}/events: a page of events, newest first, or all of them as they come.
import { Type } from 'typebox';
import type { TrainingEvent } from '../../../training/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { principalOf } from '../../plugins/auth.ts';
import { toAppError } from '../../plugins/error-handler.ts';
import type { App, AppServices } from '../../services.ts';
import { sendEvents, sseData } from '../../sse.ts';
import { renderError } from '../../surface.ts';
import { STREAM_DONE } from '../openai/answer-fields.ts';
import { EventView, eventView } from './job-view.ts';
import { listOf, listSchema, PAGE_QUERY, pageRequest } from './paging.ts';

export function registerJobEvents(app: App, { training }: AppServices): void {
  const schema = {
    tags: ['training'],
    summary: 'Events of a job: messages, and metrics of every step',
    description:
      'Newest first, in pages. With stream=true all events, oldest first, as server-sent events that end with [DONE] when the job has ended; after, or the header Last-Event-ID, begins behind an event.',
    produces: ['application/json', 'text/event-stream'],
    params: Type.Object({ id: Type.String() }),
    querystring: Type.Object(
      {
        ...PAGE_QUERY,
        stream: Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')], { description: '"true" or "false"' })),
      },
      { additionalProperties: false },
    ),
    response: { 200: listSchema(EventView), ...OPENAI_ERRORS },
  };
  app.get('/v1/fine_tuning/jobs/:id/events', { schema }, async (request, reply) => {
    const { tenant } = principalOf(request);
    const { id } = request.params;
    if (request.query.stream !== 'true') {
      const page = training.jobs.events(tenant, id, pageRequest(request.query));
      return listOf(page.entries.map(eventView), page.hasMore);
    }
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    const after = request.query.after ?? lastEventId(request.headers['last-event-id']);
    const events = framed(training.jobs.watch(tenant, id, after, left.signal));
    return await sendEvents(reply, events, {
      renderFailure: (error) => [sseData(renderError(toAppError(error, request), 'openai').body)],
    });
  });
}

function lastEventId(header: string | readonly string[] | undefined): string | null {
  return typeof header === 'string' && header !== '' ? header : null;
}

async function* framed(events: AsyncIterable<TrainingEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `id: ${event.id}\n${sseData(eventView(event))}`;
  yield STREAM_DONE;
}
