// The common beginning of every generating route: pin the adapter, submit, and tie everything to the life of the connection.
import type { FastifyReply } from 'fastify';
import type { TenantId } from '../../core/index.ts';
import type { Metrics } from '../plugins/metrics.ts';
import type { AppServices } from '../services.ts';
import { pinAdapter } from './pin.ts';
import type { AdapterChoice } from './reference.ts';
import { GenerationSession, submitAll, type GenerationSpec } from './session.ts';
import { splitKeyOf } from './split-key.ts';

export interface GenerationCall {
  readonly services: AppServices;
  readonly metrics: Metrics;
  readonly reply: FastifyReply;
  readonly tenant: TenantId;
  readonly adapter: AdapterChoice;
}

/**
 * Pins the adapter (a mix may have to be computed first), builds the spec (which tokenizes, so an unknown adapter costs nothing) and submits its rows. A closed connection closes
 * the session; the caller closes it when it is done, in every path.
 * @throws AppError; then nothing stays pinned or submitted.
 */
export async function startGeneration(call: GenerationCall, buildSpec: () => GenerationSpec): Promise<GenerationSession> {
  const { services, reply } = call;
  const observer = call.metrics.observeSession();
  const lease = await pinAdapter(services, call.tenant, call.adapter, splitKeyOf(reply.request));
  const session = new GenerationSession(lease, observer);
  try {
    submitAll(services, session, call.tenant, buildSpec());
  } catch (error) {
    session.close();
    throw error;
  }
  // The request's own signal aborts as soon as a body is read; only the response knows of a client that went away.
  reply.raw.once('close', () => session.close());
  if (reply.raw.destroyed) session.close();
  const { adapter } = session;
  if (adapter !== null) void reply.header('x-adapter-id', adapter.label);
  if (adapter !== null && adapter.digest !== null) void reply.header('x-adapter-digest', adapter.digest);
  return session;
}
