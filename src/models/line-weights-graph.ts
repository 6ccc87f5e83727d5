// The small graph beside every form: from a line of logits to the weights of its tokens.
import { encodeOnnxModel } from '../formats/index.ts';

const OPSET = 17;
const IR_VERSION = 8;

/** Inputs `logits` [tokens], `largest` [1] and `scale` [1], output `weights` [tokens], float32: exp((logits - largest) * scale). */
export function lineWeightsGraph(): Uint8Array {
  const value = (name: string, size: number | string) => ({ name, type: 'float32', dims: [size] }) as const;
  const node = (op: string, inputs: readonly string[], output: string) =>
    ({ op, domain: '', name: output, inputs, outputs: [output], attributes: [] }) as const;
  const graph = {
    name: 'weights',
    inputs: [value('logits', 'tokens'), value('largest', 1), value('scale', 1)],
    outputs: [value('weights', 'tokens')],
    values: [],
    initializers: [],
    nodes: [
      node('Sub', ['logits', 'largest'], 'below'),
      node('Mul', ['below', 'scale'], 'exponents'),
      node('Exp', ['exponents'], 'weights'),
    ],
  };
  return encodeOnnxModel({ irVersion: IR_VERSION, producerName: 'lorikeet', opsets: [{ domain: '', version: OPSET }], graph });
}
