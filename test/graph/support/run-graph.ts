// Runs a graph in ONNX Runtime through plain InferenceSession, with the weights in a file beside the model, as in production.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeOnnxModel } from '../../../src/formats/onnx/index.ts';
import { type Graph, storedWeights, toOnnx } from '../../../src/graph/index.ts';
import { type Checkpoint, materialise } from './materialise.ts';

export interface Feed {
  readonly data: Float32Array | BigInt64Array | Int32Array | Int8Array;
  readonly dims: readonly number[];
}

export type Feeds = Readonly<Record<string, Feed>>;
export type Results = Readonly<Record<string, { readonly data: Float32Array; readonly dims: readonly number[] }>>;

export interface RunnableGraph {
  run(feeds: Feeds): Promise<Results>;
  close(): Promise<void>;
}

export async function openGraph(graph: Graph, checkpoint: Checkpoint): Promise<RunnableGraph> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-graph-'));
  try {
    const places = new Map<string, { readonly location: string; readonly offset: number; readonly length: number }>();
    const chunks: Uint8Array[] = [];
    let offset = 0;
    for (const { key, recipe } of storedWeights(graph)) {
      if (places.has(key)) continue;
      const bytes = materialise(recipe, checkpoint);
      places.set(key, { location: 'weights.bin', offset, length: bytes.length });
      const padding = new Uint8Array((64 - (bytes.length % 64)) % 64);
      chunks.push(bytes, padding);
      offset += bytes.length + padding.length;
    }
    const model = toOnnx(graph, (key) => {
      const place = places.get(key);
      if (!place) throw new Error(`no weight ${key}`);
      return place;
    });
    writeFileSync(join(folder, 'weights.bin'), Buffer.concat(chunks));
    writeFileSync(join(folder, 'model.onnx'), encodeOnnxModel(model));
    const session = await InferenceSession.create(join(folder, 'model.onnx'), { logSeverityLevel: 3, intraOpNumThreads: 1 });
    return { run: (feeds) => run(session, feeds), close: () => session.release() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Opens, runs once and closes. */
export async function runGraph(graph: Graph, checkpoint: Checkpoint, feeds: Feeds): Promise<Results> {
  const opened = await openGraph(graph, checkpoint);
  try {
    return await opened.run(feeds);
  } finally {
    await opened.close();
  }
}

async function run(session: InferenceSession, feeds: Feeds): Promise<Results> {
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, new Tensor(typeName(data), data, [...dims])] as const);
  const results = await session.run(Object.fromEntries(tensors));
  return Object.fromEntries(
    Object.entries(results).map(([name, tensor]) => {
      return [name, { data: numbers(name, tensor), dims: tensor.dims }];
    }),
  );
}

function numbers(name: string, { data, type }: Tensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Int8Array) return Float32Array.from(data);
  throw new Error(`output ${name} is ${type}`);
}

function typeName(data: Feed['data']): 'float32' | 'int64' | 'int32' | 'int8' {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Int8Array) return 'int8';
  return data instanceof BigInt64Array ? 'int64' : 'int32';
}
