// How many bytes of weights one run of a graph has to read. Pure over the decoded ONNX model.
import { ONNX_ELEMENT_BYTES } from '../../../src/formats/onnx/model.ts';
import type { OnnxModel } from '../../../src/formats/index.ts';

/** These look up single rows of a table (embedding; cosines and sines of positions): too few bytes to count. */
const LOOK_UPS = new Set(['Gather', 'GatherBlockQuantized', 'GroupQueryAttention']);

/** Bytes of all initializers that some node reads as a whole. */
export function weightBytesRead({ graph }: OnnxModel): number {
  const readWhole = new Set(graph.nodes.filter(({ op }) => !LOOK_UPS.has(op)).flatMap(({ inputs }) => inputs));
  return graph.initializers
    .filter(({ name }) => readWhole.has(name))
    .reduce((sum, { type, dims }) => sum + ONNX_ELEMENT_BYTES[type] * dims.reduce((product, size) => product * size, 1), 0);
}

/** Bytes of an element of a graph's input. @throws Error when there is no such input. */
export function inputElementBytes({ graph }: OnnxModel, name: string): number {
  const input = graph.inputs.find((candidate) => candidate.name === name);
  if (!input) throw new Error(`the graph has no input ${name}`);
  return ONNX_ELEMENT_BYTES[input.type];
}
