// What this machine can do at most, as ONNX Runtime's own kernels reach it: reading memory, float32 and int8 products.
import { createEnvironment, type OrtEnvironment } from '../../../src/runtime/index.ts';
import { serveChild } from '../sides/serve-child.ts';
import { type Kernel, type KernelTensor, shortestRun } from './kernel.ts';

export interface MachineLimits {
  /** The faster of a row times a matrix of 512 MB and a reduction of as much. */
  readonly bytesPerSecond: number;
  readonly float32PerSecond: number;
  /** uint8 by int8, sums in int32. */
  readonly int8PerSecond: number;
}

const REPEATS = 4;
/** [rows, inner, columns]: what fits the caches well and what is large enough to be split well. */
const PRODUCTS: readonly (readonly [number, number, number])[] = [
  [512, 1024, 1024],
  [1024, 1024, 2048],
  [1024, 2048, 2048],
];

await serveChild<{ readonly threadCount: number }, null, MachineLimits>(async ({ threadCount }) => {
  const environment = createEnvironment({ threadCount, allowSpinning: true });
  return async () => measure(environment);
});

function measure(environment: OrtEnvironment): MachineLimits {
  const fastest = (work: number, kernel: Kernel): number => work / shortestRun(environment, kernel, REPEATS);
  const tensor = (name: string, type: KernelTensor['type'], ...shape: number[]): KernelTensor => ({ name, type, shape });
  const rowTimesMatrix: Kernel = {
    op: 'MatMul',
    inputs: [tensor('a', 'float32', 1, 4096), tensor('b', 'float32', 4096, 32_768)],
    output: tensor('y', 'float32', 1, 32_768),
  };
  const reduction: Kernel = {
    op: 'ReduceMax',
    inputs: [tensor('x', 'float32', 4096, 32_768), tensor('axes', 'int64', 1)],
    output: tensor('y', 'float32', 4096, 1),
  };
  const product = (rows: number, inner: number, columns: number, isInteger: boolean): Kernel => ({
    op: isInteger ? 'MatMulInteger' : 'MatMul',
    inputs: [tensor('a', isInteger ? 'uint8' : 'float32', rows, inner), tensor('b', isInteger ? 'int8' : 'float32', inner, columns)],
    output: tensor('y', isInteger ? 'int32' : 'float32', rows, columns),
  });
  const best = (isInteger: boolean): number =>
    Math.max(...PRODUCTS.map(([rows, inner, columns]) => fastest(2 * rows * inner * columns, product(rows, inner, columns, isInteger))));
  const bytes = 4096 * 32_768 * Float32Array.BYTES_PER_ELEMENT;
  return {
    bytesPerSecond: Math.max(fastest(bytes, rowTimesMatrix), fastest(bytes, reduction)),
    float32PerSecond: best(false),
    int8PerSecond: best(true),
  };
}
