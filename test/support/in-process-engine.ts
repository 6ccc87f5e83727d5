// An engine and its client in one process, joined by messages that are copied like over IPC. For tests of what stands on EngineClient.
import { silentLogger, systemClock } from '../../src/core/index.ts';
import {
  type EngineDependencies,
  type EngineHost,
  type EngineLimits,
  type EngineLink,
  type FromEngine,
  hostEngine,
  type HostPort,
  RemoteEngineClient,
  type ToEngine,
} from '../../src/engine/index.ts';
import { adapterSource } from './fake-adapters.ts';
import { FakeExecutor } from './fake-executor.ts';

export const TEST_LIMITS: EngineLimits = {
  maxBatch: 4,
  maxContext: 1024,
  maxWaiting: 16,
  prefillChunk: 32,
  maxStretch: 2,
  speculation: 'off',
  kvCacheBytes: 16 * 4096,
  prefixCacheBytes: 16 * 1024,
  adapterHostBytes: 1 << 20,
  mergedMax: 1,
};

/** Both ends of a channel. Messages are structured clones, delivered in order on a later turn of the event loop. */
export interface MemoryChannel {
  readonly link: EngineLink;
  readonly port: HostPort;
  /** As if the engine process had died: nothing is delivered any more, then the link is down. */
  readonly cut: () => void;
}

export function createMemoryChannel(): MemoryChannel {
  const toHost: ((message: ToEngine) => void)[] = [];
  const toClient: ((message: FromEngine) => void)[] = [];
  const onDown: (() => void)[] = [];
  let connected = true;
  const deliver = <Message>(listeners: readonly ((message: Message) => void)[], message: Message): void => {
    const copy = structuredClone(message);
    setImmediate(() => {
      if (connected) for (const listener of listeners) listener(copy);
    });
  };
  return {
    link: {
      send: (message) => {
        if (connected) deliver(toHost, message);
        return connected;
      },
      onMessage: (listener) => void toClient.push(listener),
      onDown: (listener) => void onDown.push(listener),
    },
    port: { send: (message) => deliver(toClient, message), onMessage: (listener) => void toHost.push(listener) },
    cut: () => {
      connected = false;
      for (const listener of onDown) listener();
    },
  };
}

export interface InProcessEngine {
  readonly client: RemoteEngineClient;
  readonly executor: FakeExecutor;
  readonly host: EngineHost;
  /** The engine process dies: open requests fail with engine_unavailable, later ones are refused. */
  readonly kill: () => void;
  readonly close: () => void;
}

/** A ready client over a fake model, unless another executor or source is given. */
export async function createInProcessClient(
  options: {
    readonly executor?: FakeExecutor;
    readonly adapters?: EngineDependencies['adapters'];
    readonly constraints?: NonNullable<EngineDependencies['constraints']>;
    readonly limits?: Partial<EngineLimits>;
  } = {},
): Promise<InProcessEngine> {
  const executor = options.executor ?? new FakeExecutor();
  const limits = { ...TEST_LIMITS, ...options.limits };
  const channel = createMemoryChannel();
  const client = new RemoteEngineClient(channel.link, { maxOpenRequests: limits.maxBatch + limits.maxWaiting });
  const { adapters = adapterSource([]), constraints } = options;
  const dependencies = { executor, adapters, ...(constraints && { constraints }), clock: systemClock, logger: silentLogger };
  const identity = { device: 'cpu', precision: 'fp32' };
  const host = hostEngine(channel.port, dependencies, { identity, limits, onShutdown: () => undefined });
  await client.whenReady();
  return {
    client,
    executor,
    host,
    kill: () => {
      channel.cut();
      host.close();
    },
    close: () => host.close(),
  };
}
