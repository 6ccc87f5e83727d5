// Sessions over the compiled base's weights: the weights file is mapped once and read in place by every graph.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeOnnxModel } from '../../../formats/index.ts';
import {
  elementCount,
  feedWeights,
  type Graph,
  recipeKey,
  rowNumbers,
  type StoredWeight,
  storedWeights,
  toOnnx,
  type WeightRecipe,
} from '../../../graph/index.ts';
import type { CompiledModel } from '../../../models/index.ts';
import {
  type Binding,
  createEnvironment,
  createSession,
  createTensor,
  mapWeights,
  type OrtEnvironment,
  type Session,
  type SharedWeights,
  type Tensor,
  type WeightEntry,
} from '../../../runtime/index.ts';
import type { ComputationOptions } from '../ports.ts';

/**
 * Equal nodes stay two, since what is computed again in the backward pass is meant to be; and nothing is folded, or quantised weights would be
 * held as floats. A mask's exponentials and what they are multiplied with are denormal numbers, which take a processor a hundred cycles each.
 */
const SESSION_CONFIG = {
  'optimization.disable_specified_optimizers': 'CommonSubexpressionElimination;ConstantFolding',
  'session.set_denormal_as_zero': '1',
};

const WEIGHT_BYTES = { float32: 4, int64: 8, int32: 4, uint8: 1, int8: 1, bool: 1 } as const;

export interface BaseSessions {
  readonly environment: OrtEnvironment;
  /** A session for the graph, whose head becomes an input; it and the numbers of rows are bound. */
  open(graph: Graph): Binding;
  close(): void;
}

export function openBaseSessions(
  compiled: CompiledModel,
  { threadCount, libraryPath }: Pick<ComputationOptions, 'threadCount' | 'libraryPath'>,
): BaseSessions {
  // A run has thousands of short operators: threads that sleep between them cost time (DECISIONS.md).
  const environment = createEnvironment({
    threadCount,
    ...(libraryPath !== undefined && { libraryPath }),
    allowSpinning: true,
    flushDenormals: true,
  });
  // Mapped once, and with one container of packed copies, for all graphs.
  const shared = mapWeights(environment, compiled.weightsPath, []);
  const opened: Session[] = [];
  const rows = new Map<number, Tensor>();
  return {
    environment,
    open(graph) {
      const fed = feedWeights(graph);
      const entries = storedWeights(graph).map((weight) => entryOf(compiled.weights, weight));
      shared.add([...entries, ...fed.map((weight) => entryOf(compiled.weights, weight))]);
      const session = openSession(environment, graph, { shared, names: entries.map(({ name }) => name) });
      opened.push(session);
      shared.releasePages();
      const binding = session.createBinding();
      for (const { name } of fed) binding.input(name, tensorOf(shared, name));
      for (const count of rowCounts(graph)) {
        const tensor = rows.get(count) ?? createTensor(environment, 'int64', [count], counting(count));
        rows.set(count, tensor);
        binding.input(rowNumbers(count), tensor);
      }
      return binding;
    },
    close() {
      for (const session of opened) session.dispose();
      for (const tensor of rows.values()) tensor.dispose();
      shared.dispose();
      environment.dispose();
    },
  };
}

function tensorOf({ tensors }: SharedWeights, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the compiled base has no weight ${name}`);
  return tensor;
}

/** Heights of the weights whose row numbers are inputs. */
function rowCounts(graph: Graph): readonly number[] {
  return graph.inputs.flatMap(({ name, shape: [count] }) => (typeof count === 'number' && name === rowNumbers(count) ? [count] : []));
}

/** 0, 1, …, count - 1 */
function counting(count: number): BigInt64Array {
  const numbers = new BigInt64Array(new ArrayBuffer(count * 8));
  for (let number = 0; number < count; number++) numbers[number] = BigInt(number);
  return numbers;
}

/** Where a weight lies, in the shape that this graph reads it in. Rows of a weight lie inside of it. */
function entryOf(entries: readonly WeightEntry[], { name, recipe, type, shape }: StoredWeight): WeightEntry {
  const { whole, start, count } = wholeOf(recipe);
  const key = recipeKey(whole);
  const found = entries.find((entry) => entry.name === key || entry.name.startsWith(`${key}:`));
  if (!found || type === 'bool') throw new Error(`the compiled base has no weight ${key}`);
  const rowBytes = (elementCount(shape) * WEIGHT_BYTES[type]) / count;
  return { name, type, shape, offset: found.offset + start * rowBytes };
}

interface Rows {
  readonly whole: WeightRecipe;
  readonly start: number;
  readonly count: number;
}

function wholeOf(recipe: WeightRecipe): Rows {
  if (recipe.kind === 'rows') return { whole: recipe.of, start: recipe.start, count: recipe.count };
  if (recipe.kind !== 'quantised' || recipe.of.kind !== 'rows') return { whole: recipe, start: 0, count: 1 };
  const { of, start, count } = recipe.of;
  return { whole: { ...recipe, of }, start, count };
}

function openSession(
  environment: OrtEnvironment,
  graph: Graph,
  weights: { readonly shared: SharedWeights; readonly names: readonly string[] },
): Session {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-training-'));
  try {
    // Every weight is handed over as a tensor, so the places are never read; only their lengths are checked.
    const lengths = new Map(storedWeights(graph).map(({ key, type, shape }) => [key, elementCount(shape) * WEIGHT_BYTES[type]]));
    const model = toOnnx(graph, (key) => ({ location: 'weights.bin', offset: 0, length: lengths.get(key) ?? 0 }));
    const path = join(folder, 'training.onnx');
    writeFileSync(path, encodeOnnxModel(model));
    writeFileSync(join(folder, 'weights.bin'), '');
    return createSession(environment, path, { weights, config: SESSION_CONFIG });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
