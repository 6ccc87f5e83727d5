// An engine process over the fake model, for tests that need a real process but no model.
// A prompt that starts with HANG_TOKEN hangs it inside a session call, as a native kernel may.
import { silentLogger, systemClock } from '../../src/core/index.ts';
import { type FromEngine, hostEngine, type ToEngine } from '../../src/engine/index.ts';
import { connectToParent } from '../../src/processes/index.ts';
import { adapterSource } from './fake-adapters.ts';
import { FakeExecutor, HANG_TOKEN } from './fake-executor.ts';
import { fillHashLogits } from './fake-logits.ts';
import { TEST_LIMITS } from './in-process-engine.ts';

function fillOrHang(line: Float32Array, history: readonly number[], adapterKey: number): void {
  if (history[0] === HANG_TOKEN) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  fillHashLogits(line, history, adapterKey);
}

const parent = connectToParent<ToEngine, FromEngine>();
const executor = new FakeExecutor({ fillLogits: fillOrHang });
const dependencies = { executor, adapters: adapterSource([]), clock: systemClock, logger: silentLogger };
const identity = { device: 'cpu', precision: 'fp32' };
hostEngine(parent, dependencies, { identity, limits: TEST_LIMITS, onShutdown: () => parent.close() });
