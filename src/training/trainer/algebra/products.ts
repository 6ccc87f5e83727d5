// Products of float64 matrices by ONNX Runtime's Gemm: one small session for each way to transpose, made when it is first needed.
import { encodeOnnxModel } from '../../../formats/index.ts';
import { createSmallSession, createTensor, type OrtEnvironment, type Session } from '../../../runtime/index.ts';
import type { Dense } from './dense.ts';

const OPSET = 17;
const IR_VERSION = 8;

export type Transposing = 'none' | 'left' | 'right';

export class Products implements Disposable {
  readonly #environment: OrtEnvironment;
  readonly #sessions = new Map<Transposing, Session>();

  readonly #released: () => void;

  /** @param released called when everything native here is gone. */
  constructor(environment: OrtEnvironment, released: () => void = () => undefined) {
    this.#environment = environment;
    this.#released = released;
  }

  /** left · right, leftᵀ · right or left · rightᵀ. */
  multiply(left: Dense, right: Dense, transposing: Transposing = 'none'): Dense {
    const [rows, inner] = transposing === 'left' ? [left.columns, left.rows] : [left.rows, left.columns];
    const [other, columns] = transposing === 'right' ? [right.columns, right.rows] : [right.rows, right.columns];
    if (inner !== other) throw new Error(`product of ${rows} × ${inner} and ${other} × ${columns}`);
    const values = new Float64Array(new ArrayBuffer(rows * columns * Float64Array.BYTES_PER_ELEMENT));
    const environment = this.#environment;
    using binding = this.#session(transposing).createBinding();
    using a = createTensor(environment, 'float64', [left.rows, left.columns], left.values);
    using b = createTensor(environment, 'float64', [right.rows, right.columns], right.values);
    using y = createTensor(environment, 'float64', [rows, columns], values);
    binding.input('a', a);
    binding.input('b', b);
    binding.output('y', y);
    binding.run();
    return { rows, columns, values };
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session.dispose();
    this.#sessions.clear();
    this.#released();
  }

  #session(transposing: Transposing): Session {
    const found = this.#sessions.get(transposing);
    if (found) return found;
    const session = createSmallSession(this.#environment, gemmModel(transposing));
    this.#sessions.set(transposing, session);
    return session;
  }
}

function gemmModel(transposing: Transposing): Uint8Array {
  const value = (name: string) => ({ name, type: 'float64', dims: [`${name}.rows`, `${name}.columns`] }) as const;
  const flag = (name: string, isSet: boolean) => ({ name, kind: 'int', value: isSet ? 1 : 0 }) as const;
  const attributes = [flag('transA', transposing === 'left'), flag('transB', transposing === 'right')];
  const node = { op: 'Gemm', domain: '', name: 'gemm', inputs: ['a', 'b'], outputs: ['y'], attributes };
  const graph = { name: 'gemm', inputs: [value('a'), value('b')], outputs: [value('y')], values: [], initializers: [], nodes: [node] };
  return encodeOnnxModel({ irVersion: IR_VERSION, producerName: 'lorikeet', opsets: [{ domain: '', version: OPSET }], graph });
}
