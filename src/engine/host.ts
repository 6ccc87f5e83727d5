// The engine process's side of the messages: turns them into calls of an engine, and its events into messages.
import { Engine } from './engine.ts';
import { EngineLoop } from './loop.ts';
import type { FromEngine, ToEngine } from './messages.ts';
import type { EngineDependencies, EngineLimits } from './state.ts';

/** The way to the front; `processes/` makes one from Node's IPC. */
export interface HostPort {
  send(message: FromEngine): void;
  onMessage(listener: (message: ToEngine) => void): void;
}

/** What the front is told about the engine once it is ready. */
export interface HostIdentity {
  readonly device: string;
  readonly precision: string;
}

export interface EngineHost {
  /** Fails the requests that are left, closes the executor and stops answering. Idempotent. */
  close(): void;
}

export interface HostOptions {
  readonly identity: HostIdentity;
  readonly limits: EngineLimits;
  /** Called after a shutdown message, when the engine is closed. */
  readonly onShutdown: () => void;
}

const STATS_INTERVAL_MS = 1000;

/**
 * Serves one engine until `close` or a shutdown message. Says `ready` at once: the executor that it gets is loaded.
 * @throws AppError usage when the limits allow no request at all.
 */
export function hostEngine(port: HostPort, dependencies: Omit<EngineDependencies, 'emit'>, options: HostOptions): EngineHost {
  const engine = new Engine({ ...dependencies, emit: (events) => port.send({ kind: 'events', events }) }, options.limits);
  const loop = new EngineLoop(engine);
  const sendStats = (asked: boolean): void => port.send({ kind: 'stats', stats: engine.stats(), asked });
  const statsTimer = setInterval(() => sendStats(false), STATS_INTERVAL_MS);
  let closed = false;

  function close(): void {
    if (closed) return;
    closed = true;
    clearInterval(statsTimer);
    loop.stop();
    engine.close();
  }

  function receive(message: ToEngine): void {
    switch (message.kind) {
      case 'submit':
        return engine.submit(message.request);
      case 'cancel':
        return engine.cancel(message.id);
      case 'pin':
        return engine.pin(message.digests);
      case 'prefetch':
        return engine.prefetch(message.digest);
      case 'place':
        return engine.place(message.placements);
      case 'stats':
        return sendStats(true);
      case 'ping':
        return port.send({ kind: 'pong' });
      case 'shutdown':
        close();
        return options.onShutdown();
    }
  }

  port.onMessage((message) => {
    if (!closed) receive(message);
  });
  port.send({ kind: 'ready', ...options.identity, maxContext: engine.maxContext });
  return { close };
}
