// The executor over ONNX Runtime: one session a graph profile, one row group a KV capacity. Owns every native object of an engine.
import type { PackedAdapter } from '../../adapters/packed.ts';
import { type Clock, type Digest, systemClock } from '../../core/index.ts';
import type { CompiledModel, GraphProfile, Precision } from '../../models/index.ts';
import { createEnvironment, HostMemory, liveHandleCount, type OrtEnvironment } from '../../runtime/index.ts';
import type { DecodeCall, ExecutorShape, MixedCall, ModelExecutor, PrefillCall, RowId, SessionCall } from '../ports.ts';
import { KvBlocks } from './kv-blocks.ts';
import { keptLevelBytes } from './kept-levels.ts';
import { FormTrials } from './form-trials.ts';
import { LineWeights } from './line-weights.ts';
import type { MergedForms } from './merged-forms.ts';
import { MergedSessions } from './merged-sessions.ts';
import { needsFullProfile } from './adapter-lanes.ts';
import { MixedCalls } from './mixed-calls.ts';
import { NativeWork } from './native-work.ts';
import { RowGroup } from './row-group.ts';
import { SessionTable, type WantedSession } from './session-table.ts';

/** Lines of logits that one prefill may ask for; memory becomes resident only when they are written. */
const MAX_LOGITS_LINES = 512;

const DECODE_TOKENS = 1;
const PREFILL_TOKENS = Infinity;

/** Sessions that start-up leaves out, the likeliest first. */
const LATER_SESSIONS: readonly WantedSession[] = [
  { profile: 'none', tokenCount: PREFILL_TOKENS },
  { profile: 'linear', tokenCount: PREFILL_TOKENS },
  { profile: 'none', tokenCount: PREFILL_TOKENS, call: 'mixed' },
  { profile: 'linear', tokenCount: PREFILL_TOKENS, call: 'mixed' },
  { profile: 'none', tokenCount: DECODE_TOKENS, call: 'mixed' },
  { profile: 'linear', tokenCount: DECODE_TOKENS, call: 'mixed' },
  { profile: 'none', tokenCount: DECODE_TOKENS, call: 'token' },
  { profile: 'linear', tokenCount: DECODE_TOKENS, call: 'token' },
  { profile: 'full', tokenCount: DECODE_TOKENS },
  { profile: 'full', tokenCount: PREFILL_TOKENS },
];

export interface OrtExecutorOptions {
  readonly model: CompiledModel;
  /** Another form of the same base for calls of many tokens, where its kernels are faster, and of few where trials show that; it shares KV (of one precision) and adapters. */
  readonly secondModel?: CompiledModel;
  readonly threadCount: number;
  readonly allowSpinning: boolean;
  /** Rows that may live at the same time. */
  readonly maxRows: number;
  readonly maxContext: number;
  /** Where merged forms of adapters come from; absent: none is merged. */
  readonly mergedForms?: MergedForms;
  /** Path of another ONNX Runtime library. */
  readonly libraryPath?: string;
  /** Of trials; the system's when absent. */
  readonly clock?: Clock;
}

export interface OrtModelExecutor extends ModelExecutor {
  /** Precision of the form that computes a call of so many tokens over all rows. */
  formFor(profile: GraphProfile, tokenCount: number): Precision;
}

/** Rows of a group share calls: they have one capacity, and one session of a merged adapter or those of the base. */
interface GroupKey {
  readonly capacity: number;
  readonly merged: Digest | null;
}

/** @throws Error when the library or a graph cannot be loaded. */
export function createOrtExecutor(options: OrtExecutorOptions): OrtModelExecutor {
  return new OrtExecutor(options);
}

class OrtExecutor implements OrtModelExecutor {
  readonly shape: ExecutorShape;
  readonly #options: OrtExecutorOptions;
  readonly #environment: OrtEnvironment;
  readonly #sessions: SessionTable;
  readonly #merged: MergedSessions;
  readonly #mixed: MixedCalls;
  readonly #groups = new Map<string, RowGroup>();
  readonly #keyOf = new Map<RowId, GroupKey>();
  readonly #blocks = new KvBlocks();
  readonly #weights: LineWeights;
  readonly #trials: FormTrials;
  readonly #work = new NativeWork();
  readonly #logits: HostMemory;
  /** Lines of a call whose rows lie in other lanes than the call names them. */
  readonly #ordered: HostMemory;

  constructor(options: OrtExecutorOptions) {
    this.#options = options;
    if (options.secondModel && (options.secondModel.kvScales === null) !== (options.model.kvScales === null))
      throw new Error('decode and prefill form share a cache, but one keeps it in int8 and the other in float32');
    const { model, threadCount, allowSpinning, libraryPath, clock = systemClock } = options;
    const { layerCount, kvHeadCount, headSize, vocabularySize, maxContext } = model.shape;
    this.shape = {
      vocabularySize,
      maxContext: Math.min(options.maxContext, maxContext),
      kvBytesPerPosition: layerCount * 2 * kvHeadCount * headSize * (model.kvScales ? 1 : Float32Array.BYTES_PER_ELEMENT),
    };
    this.#environment = createEnvironment({ threadCount, allowSpinning, ...(libraryPath !== undefined && { libraryPath }) });
    this.#sessions = new SessionTable(this.#environment, model, options.secondModel ?? null);
    this.#weights = new LineWeights(this.#environment, vocabularySize);
    this.#merged = new MergedSessions(options.mergedForms ?? null, this.#sessions, this.#work);
    const logitsFor = (lineCount: number): Float32Array => this.#logitsFor(lineCount);
    this.#trials = new FormTrials({ environment: this.#environment, model, sessions: this.#sessions, clock, logitsFor });
    this.#mixed = new MixedCalls(this.#environment, this.#sessions, vocabularySize);
    this.#logits = HostMemory.allocate(Math.max(options.maxRows + 1, MAX_LOGITS_LINES) * vocabularySize * 4);
    this.#ordered = HostMemory.allocate((options.maxRows + 1) * vocabularySize * 4);
    for (const profile of ['none', 'linear'] as const) this.#sessions.session({ profile, tokenCount: DECODE_TOKENS, call: 'token' });
    this.#sessions.releasePages();
  }

  addRow(row: RowId, capacity: number, adapter: PackedAdapter | null, merged: Digest | null = null): void {
    const key = { capacity, merged };
    this.#group(key).add(row, merged === null ? adapter : null);
    this.#keyOf.set(row, key);
  }

  growRow(row: RowId, capacity: number, usedPositions: number): void {
    const key = { ...this.#key(row), capacity };
    this.#group(key).adopt(row, this.#groupOf(row), usedPositions);
    this.#keyOf.set(row, key);
  }

  moveRow(row: RowId, adapter: PackedAdapter | null, merged: Digest | null, usedPositions: number): void {
    const key = { ...this.#key(row), merged };
    this.#group(key).adopt(row, this.#groupOf(row), usedPositions, merged === null ? adapter : null);
    this.#keyOf.set(row, key);
  }

  removeRow(row: RowId): void {
    this.#groupOf(row).remove(row);
    this.#keyOf.delete(row);
  }

  async prepareAdapter(adapter: PackedAdapter): Promise<void> {
    const { sideLevels } = this.#sessions;
    if (sideLevels && keptLevelBytes(adapter) > 0) await this.#work.run(() => sideLevels.make(adapter));
  }

  canMix(adapter: PackedAdapter | null): boolean {
    return adapter === null || !needsFullProfile(adapter);
  }

  keptBytes(adapter: PackedAdapter): number {
    return this.#sessions.sideLevels ? keptLevelBytes(adapter) : 0;
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
      case 'mixed':
        return this.#runMixed(call);
    }
  }

  weigh(logits: Float32Array, largest: number, scale: number): Float32Array {
    return this.#weights.weigh(logits, largest, scale);
  }

  prepareNext(): boolean {
    const missing = LATER_SESSIONS.find((wanted) => !this.#sessions.isLoaded(wanted));
    if (!missing) return this.#trials.step() || [...this.#groups.values()].some((group) => group.prepareNext());
    this.#sessions.session(missing);
    if (this.#sessions.sideLevels) this.#environment.apart.start();
    this.#sessions.releasePages();
    return true;
  }

  async prepareMerged(digest: Digest): Promise<void> {
    await this.#merged.prepare(digest);
  }

  async loadMerged(digest: Digest): Promise<number> {
    const bytes = await this.#merged.load(digest);
    this.#sessions.releasePages();
    return bytes;
  }

  dropMerged(digest: Digest): void {
    const ofAdapter = [...this.#groups].filter(([name]) => name.endsWith(`:${digest}`));
    if (ofAdapter.some(([, group]) => !group.isEmpty)) throw new Error(`rows are still computed by the merged adapter ${digest}`);
    for (const [name, group] of ofAdapter) {
      group.dispose();
      this.#groups.delete(name);
    }
    this.#merged.drop(digest);
  }

  formFor(profile: GraphProfile, tokenCount: number): Precision {
    return this.#sessions.formFor(profile, tokenCount);
  }

  liveHandles(): number {
    return liveHandleCount();
  }

  close(): void {
    for (const group of this.#groups.values()) group.dispose();
    this.#groups.clear();
    this.#trials.dispose();
    this.#mixed.dispose();
    this.#blocks.dispose();
    this.#logits.dispose();
    this.#ordered.dispose();
    this.#weights.dispose();
    this.#merged.dispose();
    this.#work.close(() => {
      this.#sessions.dispose();
      this.#environment.dispose();
    });
  }

  #prefill(call: PrefillCall): Float32Array {
    const positions = wantedPositions(call);
    const logits = this.#logitsFor(positions.length);
    this.#groupOf(call.row).prefill(call.row, call.tokenIds, call.startPosition, positions, logits);
    return logits;
  }

  #decode(call: DecodeCall): Float32Array {
    let logits: Float32Array = new Float32Array(0);
    const group = this.#group({ capacity: call.capacity, merged: call.merged ?? null });
    const lanes = group.decode(call.rows, (count) => (logits = this.#logitsFor(count)));
    return this.#inOrder(logits, lanes);
  }

  #runMixed({ decode, prefill }: MixedCall): Float32Array {
    let logits: Float32Array = new Float32Array(0);
    const positions = wantedPositions(prefill);
    const parts = {
      decode: { group: this.#group({ capacity: decode.capacity, merged: null }), rows: decode.rows },
      prefill: { group: this.#groupOf(prefill.row), call: prefill, positions },
    };
    const { lanes, range } = this.#mixed.run(parts, (count) => (logits = this.#logitsFor(count)));
    return this.#inOrder(logits, [...lanes, ...positions.map((_, index) => range.count + index)]);
  }

  /** These lines of logits, one behind the other. */
  #inOrder(logits: Float32Array, lines: readonly number[]): Float32Array {
    const { vocabularySize } = this.shape;
    if (lines.every((line, index) => line === index)) return logits.subarray(0, lines.length * vocabularySize);
    const ordered = new Float32Array(this.#ordered.buffer, 0, lines.length * vocabularySize);
    lines.forEach((line, index) =>
      ordered.set(logits.subarray(line * vocabularySize, (line + 1) * vocabularySize), index * vocabularySize),
    );
    return ordered;
  }

  #logitsFor(lineCount: number): Float32Array {
    return new Float32Array(this.#logits.buffer, 0, lineCount * this.shape.vocabularySize);
  }

  #group({ capacity, merged }: GroupKey): RowGroup {
    const name = `${capacity}:${merged ?? ''}`;
    const known = this.#groups.get(name);
    if (known) return known;
    const { model, maxRows } = this.#options;
    const chosen = merged === null ? null : this.#merged.session(merged);
    const sessions = chosen === null ? this.#sessions : { session: () => chosen, sideLevels: null };
    const group = new RowGroup({ environment: this.#environment, model, sessions, capacity, laneCount: maxRows });
    this.#groups.set(name, group);
    return group;
  }

  #key(row: RowId): GroupKey {
    const key = this.#keyOf.get(row);
    if (key === undefined) throw new Error(`row ${row} does not exist`);
    return key;
  }

  #groupOf(row: RowId): RowGroup {
    return this.#group(this.#key(row));
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
