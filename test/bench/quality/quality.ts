// How far a precision moves the model: mean KL divergence of next-token distributions from fp32, over the first 1,024 tokens of a text.
import { availableParallelism } from 'node:os';
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { Digest } from '../../../src/core/index.ts';
import type { ModelExecutor, SessionCall } from '../../../src/engine/index.ts';
import type { KvPrecision, ModelPackage, Precision } from '../../../src/models/index.ts';
import { parityAdapter } from '../parity-adapter.ts';
import { writeReport } from '../report/write.ts';
import { openSubject, openSubjectExecutor, subjectTokenIds } from '../subject.ts';
import { compareLogits, type Divergence } from './divergence.ts';

const TOKEN_COUNT = 1024;
const CHUNK_TOKENS = 64;
const CAPACITY = 2048;
/** On all linears of four layers. */
const ADAPTER = 'r16-all';

interface Form {
  readonly precision: Precision;
  readonly kv: KvPrecision;
  /** auto: all of the text is read with the form that the server takes for calls of many tokens on this machine. */
  readonly prefill: 'same' | 'auto';
  /** One call a token, as rows that decode alone are computed; else 64 tokens a call. */
  readonly byToken?: boolean;
  /** Bound of the mean in nats. llama.cpp's own scheme has 0.0033 on these weights (measured), so 0.004 is its order. */
  readonly bound: number;
}

const QUANTISED: readonly Form[] = [
  { precision: 'int8', kv: 'fp32', prefill: 'same', bound: 0.004 },
  { precision: 'int8', kv: 'fp32', prefill: 'auto', bound: 0.004 },
  { precision: 'int8', kv: 'int8', prefill: 'same', bound: 0.005 },
  { precision: 'int8', kv: 'int8', prefill: 'auto', bound: 0.005 },
  { precision: 'int4', kv: 'fp32', prefill: 'same', bound: 0.004 },
  { precision: 'w8a8', kv: 'fp32', prefill: 'same', bound: 0.008 },
  { precision: 'w8a8', kv: 'fp32', prefill: 'same', byToken: true, bound: 0.004 },
  { precision: 'w8a8', kv: 'int8', prefill: 'same', bound: 0.008 },
  { precision: 'w8a8', kv: 'int8', prefill: 'same', byToken: true, bound: 0.005 },
];

/** Side paths over float32 and over levels. */
const WITH_ADAPTER = QUANTISED.filter(({ precision, kv }) => precision !== 'int4' && kv === 'fp32');

export async function benchQuality(): Promise<boolean> {
  const model = await openSubject();
  const tokenIds = (await subjectTokenIds(model, TOKEN_COUNT)).slice(0, TOKEN_COUNT);
  const adapter = await parityAdapter(model, ADAPTER);
  const results = [
    ...(await measureForms(model, tokenIds, QUANTISED, null)),
    ...(await measureForms(model, tokenIds, WITH_ADAPTER, adapter)),
  ];
  writeReport({
    part: 'quality',
    header: ['precision', 'adapter', 'cache', 'form', 'mean KL(fp32‖q)', 'largest', 'same top token', 'bound of the mean', 'within'],
    rows: results.map(({ precision, hasAdapter, kv, prefill, byToken, bound, divergence: { meanKl, largestKl, sameTopShare } }) => [
      precision,
      hasAdapter ? ADAPTER : '–',
      kv,
      `${prefill === 'same' ? precision : 'second'}${byToken ? ', one token a call' : ''}`,
      meanKl.toFixed(5),
      largestKl.toFixed(3),
      `${(sameTopShare * 100).toFixed(1)} %`,
      String(bound),
      meanKl <= bound ? 'yes' : 'NO',
    ]),
    measurements: { tokenCount: TOKEN_COUNT, results },
  });
  return results.every(({ divergence, bound }) => divergence.meanKl <= bound);
}

interface FormResult extends Form {
  readonly hasAdapter: boolean;
  readonly divergence: Divergence;
}

async function measureForms(
  model: ModelPackage,
  tokenIds: readonly number[],
  forms: readonly Form[],
  adapter: PackedAdapter | null,
): Promise<readonly FormResult[]> {
  const reference = await withExecutor(model, { precision: 'fp32', kv: 'fp32', prefill: 'same' }, (executor) =>
    allLogits(executor, tokenIds, { adapter }),
  );
  const results: FormResult[] = [];
  for (const form of forms) {
    const divergence = await withExecutor(model, form, (executor) =>
      diverge(executor, tokenIds, reference, { adapter, byToken: form.byToken ?? false }),
    );
    results.push({ ...form, hasAdapter: adapter !== null, divergence });
  }
  return results;
}

async function withExecutor<T>(
  model: ModelPackage,
  { precision, kv, prefill }: Omit<Form, 'bound'>,
  use: (executor: ModelExecutor) => T,
): Promise<T> {
  const executor = await openSubjectExecutor(model, {
    precision,
    kvPrecision: kv,
    prefillPrecision: prefill,
    threadCount: availableParallelism(),
    maxRows: 1,
    maxContext: CAPACITY,
  });
  try {
    return use(executor);
  } finally {
    executor.close();
  }
}

/** What computes a row; the base when both are absent. */
interface RowOf {
  readonly adapter?: PackedAdapter | null;
  readonly merged?: Digest;
  /** As in `Form`. */
  readonly byToken?: boolean;
}

/** Visits logits call by call: [tokens of the call, vocabulary], valid during the call only. */
function forEachCall(
  executor: ModelExecutor,
  tokenIds: readonly number[],
  { adapter = null, merged, byToken = false }: RowOf,
  visit: (logits: Float32Array, startPosition: number) => void,
): void {
  executor.addRow(0, CAPACITY, adapter, merged ?? null);
  const call = (start: number): SessionCall =>
    byToken
      ? { kind: 'decode', capacity: CAPACITY, rows: [{ row: 0, tokenId: tokenIds[start] ?? 0, position: start }] }
      : { kind: 'prefill', row: 0, tokenIds: tokenIds.slice(start, start + CHUNK_TOKENS), startPosition: start, logits: 'all' };
  for (let start = 0; start < tokenIds.length; start += byToken ? 1 : CHUNK_TOKENS) visit(executor.run(call(start)), start);
  executor.removeRow(0);
}

/** Logits after every token: [tokens, vocabulary]. */
export function allLogits(executor: ModelExecutor, tokenIds: readonly number[], row: RowOf = {}): Float32Array {
  const { vocabularySize } = executor.shape;
  const all = new Float32Array(tokenIds.length * vocabularySize);
  forEachCall(executor, tokenIds, row, (logits, start) => all.set(logits, start * vocabularySize));
  return all;
}

export function diverge(executor: ModelExecutor, tokenIds: readonly number[], reference: Float32Array, row: RowOf = {}): Divergence {
  const { vocabularySize } = executor.shape;
  const lines: { readonly kl: number; readonly sameTop: boolean }[] = [];
  forEachCall(executor, tokenIds, row, (logits, start) => {
    for (let offset = 0; offset < logits.length; offset += vocabularySize) {
      const from = start * vocabularySize + offset;
      lines.push(compareLogits(reference.subarray(from, from + vocabularySize), logits.subarray(offset, offset + vocabularySize)));
    }
  });
  return {
    meanKl: lines.reduce((sum, { kl }) => sum + kl, 0) / lines.length,
    largestKl: Math.max(...lines.map(({ kl }) => kl)),
    sameTopShare: lines.filter(({ sameTop }) => sameTop).length / lines.length,
  };
}
