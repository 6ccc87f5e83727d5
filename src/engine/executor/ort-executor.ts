// The executor over ONNX Runtime: one session a graph profile, one row group a KV capacity. Owns every native object of an engine.
import type { PackedAdapter } from '../../adapters/packed.ts';
import type { CompiledModel, GraphProfile } from '../../models/index.ts';
import { createEnvironment, HostMemory, liveHandleCount, type OrtEnvironment } from '../../runtime/index.ts';
import type { DecodeCall, ExecutorShape, ModelExecutor, PrefillCall, RowId, SessionCall } from '../ports.ts';
import { KvBlocks } from './kv-blocks.ts';
import { RowGroup } from './row-group.ts';
import { SessionTable } from './session-table.ts';

/** Lines of logits that one prefill may ask for; memory becomes resident only when they are written. */
const MAX_LOGITS_LINES = 512;

const DECODE_TOKENS = 1;
const PREFILL_TOKENS = Infinity;

/** Sessions that start-up leaves out, the likeliest first. */
const LATER_SESSIONS: readonly (readonly [GraphProfile, number])[] = [
  ['none', PREFILL_TOKENS],
  ['linear', PREFILL_TOKENS],
  ['full', DECODE_TOKENS],
  ['full', PREFILL_TOKENS],
];

export interface OrtExecutorOptions {
  readonly model: CompiledModel;
  /** Another form of the same base for long prefill calls, where its kernels are faster; it shares KV (of one precision) and adapters. */
  readonly prefillModel?: CompiledModel;
  readonly threadCount: number;
  readonly allowSpinning: boolean;
  /** Rows that may live at the same time. */
  readonly maxRows: number;
  readonly maxContext: number;
  /** Path of another ONNX Runtime library. */
  readonly libraryPath?: string;
}

/** @throws Error when the library or a graph cannot be loaded. */
export function createOrtExecutor(options: OrtExecutorOptions): ModelExecutor {
  return new OrtExecutor(options);
}

class OrtExecutor implements ModelExecutor {
  readonly shape: ExecutorShape;
  readonly #options: OrtExecutorOptions;
  readonly #environment: OrtEnvironment;
  readonly #sessions: SessionTable;
  readonly #groups = new Map<number, RowGroup>();
  readonly #capacityOf = new Map<RowId, number>();
  readonly #blocks = new KvBlocks();
  readonly #logits: HostMemory;
  /** Lines of a decode call whose rows lie in other lanes than the call names them. */
  readonly #ordered: HostMemory;

  constructor(options: OrtExecutorOptions) {
    this.#options = options;
    if (options.prefillModel && (options.prefillModel.kvScales === null) !== (options.model.kvScales === null))
      throw new Error('decode and prefill form share a cache, but one keeps it in int8 and the other in float32');
    const { model, threadCount, allowSpinning, libraryPath } = options;
    const { layerCount, kvHeadCount, headSize, vocabularySize, maxContext } = model.shape;
    this.shape = {
      vocabularySize,
      maxContext: Math.min(options.maxContext, maxContext),
      kvBytesPerPosition: layerCount * 2 * kvHeadCount * headSize * (model.kvScales ? 1 : Float32Array.BYTES_PER_ELEMENT),
    };
    this.#environment = createEnvironment({ threadCount, allowSpinning, ...(libraryPath !== undefined && { libraryPath }) });
    this.#sessions = new SessionTable(this.#environment, model, options.prefillModel ?? null);
    this.#logits = HostMemory.allocate(Math.max(options.maxRows, MAX_LOGITS_LINES) * vocabularySize * 4);
    this.#ordered = HostMemory.allocate(options.maxRows * vocabularySize * 4);
    this.#sessions.session('none', DECODE_TOKENS);
    this.#sessions.session('linear', DECODE_TOKENS);
    this.#sessions.releasePages();
  }

  addRow(row: RowId, capacity: number, adapter: PackedAdapter | null): void {
    this.#group(capacity).add(row, adapter);
    this.#capacityOf.set(row, capacity);
  }

  growRow(row: RowId, capacity: number, usedPositions: number): void {
    this.#group(capacity).adopt(row, this.#groupOf(row), usedPositions);
    this.#capacityOf.set(row, capacity);
  }

  removeRow(row: RowId): void {
    this.#groupOf(row).remove(row);
    this.#capacityOf.delete(row);
  }

  saveBlock(row: RowId, startPosition: number, slot: number): void {
    this.#groupOf(row).saveBlock(row, startPosition, slot, this.#blocks);
  }

  restoreBlock(row: RowId, startPosition: number, slot: number): void {
    this.#groupOf(row).restoreBlock(row, startPosition, slot, this.#blocks);
  }

  run(call: SessionCall): Float32Array {
    switch (call.kind) {
      case 'prefill':
        return this.#prefill(call);
      case 'decode':
        return this.#decode(call);
    }
  }

  prepareNext(): boolean {
    const missing = LATER_SESSIONS.find(([profile, tokenCount]) => !this.#sessions.isLoaded(profile, tokenCount));
    if (!missing) return false;
    this.#sessions.session(...missing);
    this.#sessions.releasePages();
    return true;
  }

  liveHandles(): number {
    return liveHandleCount();
  }

  close(): void {
    for (const group of this.#groups.values()) group.dispose();
    this.#groups.clear();
    this.#blocks.dispose();
    this.#sessions.dispose();
    this.#logits.dispose();
    this.#ordered.dispose();
    this.#environment.dispose();
  }

  #prefill(call: PrefillCall): Float32Array {
    const positions = wantedPositions(call);
    const logits = this.#logitsFor(positions.length);
    this.#groupOf(call.row).prefill(call.row, call.tokenIds, call.startPosition, positions, logits);
    return logits;
  }

  #decode(call: DecodeCall): Float32Array {
    const { vocabularySize } = this.shape;
    let logits: Float32Array = new Float32Array(0);
    const lanes = this.#group(call.capacity).decode(call.rows, (count) => (logits = this.#logitsFor(count)));
    if (lanes.every((lane, index) => lane === index)) return logits.subarray(0, lanes.length * vocabularySize);
    const ordered = new Float32Array(this.#ordered.buffer, 0, lanes.length * vocabularySize);
    lanes.forEach((lane, index) =>
      ordered.set(logits.subarray(lane * vocabularySize, (lane + 1) * vocabularySize), index * vocabularySize),
    );
    return ordered;
  }

  #logitsFor(lineCount: number): Float32Array {
    return new Float32Array(this.#logits.buffer, 0, lineCount * this.shape.vocabularySize);
  }

  #group(capacity: number): RowGroup {
    const known = this.#groups.get(capacity);
    if (known) return known;
    const { model, maxRows } = this.#options;
    const group = new RowGroup({ environment: this.#environment, model, sessions: this.#sessions, capacity, laneCount: maxRows });
    this.#groups.set(capacity, group);
    return group;
  }

  #groupOf(row: RowId): RowGroup {
    const capacity = this.#capacityOf.get(row);
    if (capacity === undefined) throw new Error(`row ${row} does not exist`);
    return this.#group(capacity);
  }
}

/** Which of a prefill's tokens need logits; the head is as large as several layers. */
function wantedPositions({ logits, tokenIds }: PrefillCall): readonly number[] {
  switch (logits) {
    case 'all':
      return tokenIds.map((_, index) => index);
    case 'last':
      return [tokenIds.length - 1];
    case 'none':
      return [];
  }
}
