import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onnx } from 'onnx-proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createEnvironment,
  createSession,
  createSessionApart,
  createTensor,
  HostMemory,
  liveHandleCount,
  loadLibrary,
  mapWeights,
  type OrtEnvironment,
} from './index.ts';

const FLOAT = 1;
const folder = mkdtempSync(join(tmpdir(), 'lorikeet-runtime-'));
const graphPath = join(folder, 'scale.onnx');
const weightsPath = join(folder, 'weights.bin');

/** y = x * w with w stored outside of the protobuf. */
function writeGraph(): void {
  const io = (name: string) => ({ name, type: { tensorType: { elemType: FLOAT, shape: { dim: [{ dimParam: 'n' }, { dimValue: 4 }] } } } });
  const external = [
    { key: 'location', value: 'weights.bin' },
    { key: 'offset', value: '64' },
    { key: 'length', value: '16' },
  ];
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'scale',
      node: [{ opType: 'Mul', input: ['x', 'w'], output: ['y'], name: 'mul' }],
      initializer: [{ name: 'w', dataType: FLOAT, dims: [4], dataLocation: 1, externalData: external }],
      input: [io('x')],
      output: [io('y')],
    },
  });
  writeFileSync(graphPath, onnx.ModelProto.encode(model).finish());
  const bytes = Buffer.alloc(80);
  [1, 2, 3, 4].forEach((value, index) => bytes.writeFloatLE(value, 64 + index * 4));
  writeFileSync(weightsPath, bytes);
}

const WEIGHT = { name: 'w', type: 'float32', shape: [4], offset: 64 } as const;
let environment: OrtEnvironment;

beforeAll(() => {
  writeGraph();
  environment = createEnvironment({ threadCount: 1, allowSpinning: false });
});

afterAll(() => {
  environment.dispose();
  rmSync(folder, { recursive: true });
});

describe('sessions over shared weights', () => {
  it('run in place on bound memory and give every handle back', () => {
    const before = liveHandleCount();
    {
      using weights = mapWeights(environment, weightsPath, [WEIGHT]);
      using session = createSession(environment, graphPath, { weights: { shared: weights, names: ['w'] } });
      using binding = session.createBinding();
      const values = new Float32Array(new ArrayBuffer(32)).fill(2);
      const result = new Float32Array(new ArrayBuffer(32));
      using x = createTensor(environment, 'float32', [2, 4], values);
      using y = createTensor(environment, 'float32', [2, 4], result);
      binding.input('x', x);
      binding.output('y', y);
      binding.run();
      expect([...result]).toEqual([2, 4, 6, 8, 2, 4, 6, 8]);
      values.fill(10);
      binding.run();
      expect([...result]).toEqual([10, 20, 30, 40, 10, 20, 30, 40]);
    }
    expect(liveHandleCount()).toBe(before);
  });

  it('are made on another thread too, over the same weights, or say why they cannot be', async () => {
    const before = liveHandleCount();
    {
      using weights = mapWeights(environment, weightsPath, [WEIGHT]);
      using session = await createSessionApart(environment, graphPath, { weights: { shared: weights, names: ['w'] } });
      using binding = session.createBinding();
      const result = new Float32Array(new ArrayBuffer(16));
      using x = createTensor(environment, 'float32', [1, 4], Float32Array.of(5, 5, 5, 5));
      using y = createTensor(environment, 'float32', [1, 4], result);
      binding.input('x', x);
      binding.output('y', y);
      binding.run();
      expect([...result]).toEqual([5, 10, 15, 20]);
    }
    await expect(createSessionApart(environment, join(folder, 'missing.onnx'))).rejects.toThrow(/missing\.onnx/);
    expect(liveHandleCount()).toBe(before);
  });

  it('run beside this thread as they run on it, or say why they cannot, and keep nothing', async () => {
    using session = createSession(environment, graphPath);
    const before = liveHandleCount();
    const x = { name: 'x', type: 'float32', shape: [1, 4], data: Float32Array.of(5, 5, 5, 5) } as const;
    const results = [0, 1, 2].map(() => new Float32Array(new ArrayBuffer(16)));
    const [here, first, second] = results.map((data) => ({ name: 'y', type: 'float32', shape: [1, 4], data }) as const);
    if (!here || !first || !second) throw new Error('three results were expected');
    session.run([x], [here]);
    await expect(session.runApart([], [first])).rejects.toThrow(/RunWithBinding.*x/s);
    await Promise.all([session.runApart([x], [first]), session.runApart([x], [second])]);
    expect(results.map((result) => [...result])).toEqual([0, 1, 2].map(() => [5, 10, 15, 20]));
    expect(() => session.run([{ ...x, shape: [2, 4] }], [here])).toThrow('needs 32 bytes, its data has 16');
    expect(liveHandleCount()).toBe(before);
  });

  it('keep nothing alive over thousands of rebinds', () => {
    using session = createSession(environment, graphPath);
    using binding = session.createBinding();
    const before = liveHandleCount();
    for (let step = 0; step < 2000; step++) {
      const rows = 1 + (step % 7);
      using x = createTensor(environment, 'float32', [rows, 4], new Float32Array(new ArrayBuffer(rows * 16)).fill(step));
      const result = new Float32Array(new ArrayBuffer(rows * 16));
      using y = createTensor(environment, 'float32', [rows, 4], result);
      binding.input('x', x);
      binding.output('y', y);
      binding.run();
      expect(result[3]).toBe(step * 4);
    }
    expect(liveHandleCount()).toBe(before);
  });
});

describe('an environment', () => {
  it('leaves nothing behind when it is disposed', () => {
    const before = liveHandleCount();
    const other = createEnvironment({ threadCount: 1, allowSpinning: false });
    expect(liveHandleCount()).toBe(before + 4);
    other.dispose();
    expect(liveHandleCount()).toBe(before);
  });
});

describe('mistakes', () => {
  it('are refused with what came and what was expected', () => {
    expect(() => createTensor(environment, 'float32', [3], new Float32Array(2))).toThrow('needs 12 bytes, its data has 8');
    expect(() => mapWeights(environment, weightsPath, [{ ...WEIGHT, offset: 72 }])).toThrow('weights file is cut off: w ends at 88 of 80');
    expect(() => createSession(environment, join(folder, 'missing.onnx'))).toThrow(/missing\.onnx/);
    expect(() => loadLibrary(join(folder, 'nothing.so'))).toThrow(/nothing\.so/);
  });

  it('do not leak the handles made on the way', () => {
    const before = liveHandleCount();
    using session = createSession(environment, graphPath);
    using binding = session.createBinding();
    using x = createTensor(environment, 'float32', [1, 4], new Float32Array(4));
    expect(() => binding.input('nonsense', x)).toThrow(/nonsense/);
    expect(liveHandleCount()).toBe(before + 3);
  });

  it('include the use of a disposed object', () => {
    const tensor = createTensor(environment, 'int64', [1], BigInt64Array.of(1n));
    tensor.dispose();
    tensor.dispose();
    expect(() => tensor.handle.pointer).toThrow('used after dispose');
  });
});

describe('HostMemory', () => {
  it.runIf(process.platform === 'linux')('gives a mapped file back when nothing refers to its buffer any more', async () => {
    const path = join(folder, 'mapped.bin');
    writeFileSync(path, Buffer.alloc(8192, 3));
    const isMapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(path);
    const views = [new Uint8Array(HostMemory.ofFile(path).intoCollected())];
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const turns = async (done: () => boolean): Promise<void> => {
      for (let turn = 0; turn < 50 && !done(); turn++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    await turns(() => !isMapped());
    expect(isMapped()).toBe(true);
    expect(views[0]?.at(-1)).toBe(3);
    views.length = 0;
    await turns(() => !isMapped());
    expect(isMapped()).toBe(false);
  });

  it('becomes resident when it is touched, and keeps its values', () => {
    using memory = HostMemory.allocate(1 << 26);
    const bytes = new Uint8Array(memory.buffer);
    bytes[4096] = 7;
    const before = process.memoryUsage.rss();
    memory.touch(1, (1 << 26) - 1);
    expect(process.memoryUsage.rss() - before).toBeGreaterThan(1 << 25);
    expect(bytes.indexOf(7)).toBe(4096);
    expect(bytes.subarray(4097).every((value) => value === 0)).toBe(true);
  });

  it('reads as zeros after its pages are given back', () => {
    using memory = HostMemory.allocate(1 << 16);
    const bytes = new Uint8Array(memory.buffer).fill(7);
    memory.discard(1, (1 << 16) - 1);
    expect(bytes[0]).toBe(7);
    expect(bytes[4096]).toBe(0);
    expect(bytes.at(-1)).toBe(0);
  });
});
