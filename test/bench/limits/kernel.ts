// One ONNX operator as a session over inputs in memory: what a kernel can do when nothing else is in its way.
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeOnnxModel, type OnnxElementType } from '../../../src/formats/index.ts';
import { createSession, createTensor, HostMemory, type OrtEnvironment, type TensorData } from '../../../src/runtime/index.ts';

const OPSET = 21;

export interface KernelTensor {
  readonly name: string;
  readonly type: Extract<OnnxElementType, 'float32' | 'int32' | 'int64' | 'int8' | 'uint8'>;
  readonly shape: readonly number[];
}

export interface Kernel {
  readonly op: string;
  readonly inputs: readonly KernelTensor[];
  readonly output: KernelTensor;
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, int8: Int8Array, uint8: Uint8Array } as const;

/** Shortest time of `repeats` runs after one untimed, in seconds. Inputs are filled with ones: no page is left untouched. */
export function shortestRun(environment: OrtEnvironment, { op, inputs, output }: Kernel, repeats: number): number {
  const path = join(tmpdir(), `lorikeet-bench-${process.pid}-${op}.onnx`);
  const value = ({ name, type, shape }: KernelTensor) => ({ name, type, dims: shape });
  const names = inputs.map(({ name }) => name);
  const node = { op, domain: '', name: op, inputs: names, outputs: [output.name], attributes: [] };
  const graph = { name: op, inputs: inputs.map(value), outputs: [value(output)], values: [], initializers: [], nodes: [node] };
  writeFileSync(path, encodeOnnxModel({ irVersion: 10, producerName: 'lorikeet', opsets: [{ domain: '', version: OPSET }], graph }));
  const owned: Disposable[] = [];
  const own = <T extends Disposable>(resource: T): T => {
    owned.push(resource);
    return resource;
  };
  try {
    const session = own(createSession(environment, path));
    const binding = own(session.createBinding());
    const bind = ({ type, shape }: KernelTensor) => own(createTensor(environment, type, shape, ones(type, shape, own)));
    for (const tensor of inputs) binding.input(tensor.name, bind(tensor));
    binding.output(output.name, bind(output));
    const times = Array.from({ length: repeats + 1 }, () => {
      const startedMs = performance.now();
      binding.run();
      return (performance.now() - startedMs) / 1000;
    });
    return Math.min(...times.slice(1));
  } finally {
    for (const resource of owned.toReversed()) resource[Symbol.dispose]();
    rmSync(path);
  }
}

function ones(type: KernelTensor['type'], shape: readonly number[], own: (memory: HostMemory) => HostMemory): TensorData {
  const count = shape.reduce((product, size) => product * size, 1);
  const { buffer } = own(HostMemory.allocate(count * ARRAYS[type].BYTES_PER_ELEMENT));
  return type === 'int64' ? new BigInt64Array(buffer, 0, count).fill(1n) : new ARRAYS[type](buffer, 0, count).fill(1);
}
