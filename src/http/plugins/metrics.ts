// Prometheus metrics: our own lorikeet_* and the vllm:* names that routers read. One registry an app; labels are bounded.
import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import type { SessionObserver } from '../generation/session.ts';
import type { App, AppServices } from '../services.ts';
import { registerEngineMetrics } from './engine-metrics.ts';
import { LoraActivity } from './lora-activity.ts';

export interface Metrics {
  readonly registry: Registry;
  /** An observer for one session, with its own clock readings. */
  observeSession(): SessionObserver;
}

const LATENCY_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const TOKEN_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56];

export function registerMetrics(app: App, services: AppServices): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerEngineMetrics(registry, services);
  const activity = new LoraActivity(registry, services);
  countRequests(app, registry);
  const histograms = sessionHistograms(registry);
  return { registry, observeSession: () => sessionObserver(services, activity, histograms) };
}

function countRequests(app: App, registry: Registry): void {
  const requests = new Counter({
    name: 'lorikeet_http_requests_total',
    help: 'Answered requests',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'lorikeet_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its answer',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [registry],
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    requests.inc({ method: request.method, route, status: String(reply.statusCode) });
    duration.observe({ route }, reply.elapsedTime / 1000);
    done();
  });
}

interface SessionHistograms {
  readonly firstToken: Histogram;
  readonly interToken: Histogram;
  readonly endToEnd: Histogram;
}

function sessionHistograms(registry: Registry): SessionHistograms {
  const histogram = (name: string, help: string, buckets: number[]): Histogram =>
    new Histogram({ name, help, buckets, registers: [registry] });
  return {
    firstToken: histogram('lorikeet_time_to_first_token_seconds', 'Time from a request to its first token', LATENCY_BUCKETS_SECONDS),
    interToken: histogram('lorikeet_inter_token_seconds', 'Time between two tokens of one request', TOKEN_BUCKETS_SECONDS),
    endToEnd: histogram('lorikeet_generation_seconds', 'Time from a request to the end of its generation', LATENCY_BUCKETS_SECONDS),
  };
}

function sessionObserver(services: AppServices, activity: LoraActivity, histograms: SessionHistograms): SessionObserver {
  const { clock } = services;
  const openedAtMs = clock.monotonic();
  let lastTokenAtMs = openedAtMs;
  let isRunning = false;
  return {
    opened: (adapter) => {
      activity.change(adapter, 'waiting', 1);
    },
    firstToken: (adapter) => {
      isRunning = true;
      lastTokenAtMs = clock.monotonic();
      histograms.firstToken.observe((lastTokenAtMs - openedAtMs) / 1000);
      activity.change(adapter, 'waiting', -1);
      activity.change(adapter, 'running', 1);
    },
    token: () => {
      const nowMs = clock.monotonic();
      histograms.interToken.observe((nowMs - lastTokenAtMs) / 1000);
      lastTokenAtMs = nowMs;
    },
    ended: (adapter) => {
      activity.change(adapter, isRunning ? 'running' : 'waiting', -1);
      histograms.endToEnd.observe((clock.monotonic() - openedAtMs) / 1000);
    },
  };
}
