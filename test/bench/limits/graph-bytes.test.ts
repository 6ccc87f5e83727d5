import { describe, expect, it } from 'vitest';
import type { OnnxModel, OnnxNode } from '../../../src/formats/index.ts';
import { inputElementBytes, weightBytesRead } from './graph-bytes.ts';

const node = (op: string, ...inputs: string[]): OnnxNode => ({ op, domain: '', name: op, inputs, outputs: [`${op}.y`], attributes: [] });
const external = { kind: 'external', location: 'weights.bin', offset: 0, length: 0 } as const;

function model(...nodes: readonly OnnxNode[]): OnnxModel {
  const initializers = [
    { name: 'table', type: 'float32', dims: [100, 8], data: external },
    { name: 'packed', type: 'uint8', dims: [8, 50], data: external },
  ] as const;
  const graph = {
    name: 'g',
    inputs: [{ name: 'x', type: 'float32', dims: [1, 8] }],
    outputs: [],
    values: [],
    initializers,
    nodes,
  } as const;
  return { irVersion: 10, producerName: '', opsets: [], graph };
}

describe('weightBytesRead', () => {
  it('leaves out a table of which single rows are looked up', () => {
    expect(weightBytesRead(model(node('Gather', 'table', 'ids'), node('MatMulNBits', 'x', 'packed')))).toBe(400);
  });

  it('counts a table once when a head reads the whole of it too, however often', () => {
    expect(weightBytesRead(model(node('Gather', 'table', 'ids'), node('MatMul', 'x', 'table'), node('Gemm', 'x', 'table')))).toBe(3200);
  });
});

describe('inputElementBytes', () => {
  it('knows the type of an input, and says when there is none', () => {
    expect(inputElementBytes(model(), 'x')).toBe(4);
    expect(() => inputElementBytes(model(), 'y')).toThrow('no input y');
  });
});
