// What the engine needs from outside: a model executor and a source of packed adapters. Scheduler and step know nothing of ONNX Runtime.
import type { PackedAdapter } from '../adapters/packed.ts';
import type { Digest } from '../core/index.ts';
import type { OutputGrammar } from './messages.ts';

/** A row of the running batch: KV cache and adapter slot of one request. Chosen by the engine, unique while the row lives. */
export type RowId = number;

/** Positions of one block of the prefix cache. */
export const BLOCK_POSITIONS = 16;

export interface ExecutorShape {
  readonly vocabularySize: number;
  readonly maxContext: number;
  /** Bytes of keys and values that one position of one row takes, over all layers. */
  readonly kvBytesPerPosition: number;
}

/** One bounded call over consecutive tokens of one row. What an earlier call wrote at or behind its start is overwritten. */
export interface PrefillCall {
  readonly kind: 'prefill';
  readonly row: RowId;
  readonly tokenIds: readonly number[];
  /** Positions already in the row's cache. */
  readonly startPosition: number;
  /** Logits after the last token, after every token, or none at all. */
  readonly logits: 'last' | 'all' | 'none';
}

/** One token for each of some rows; all of them have the given capacity and are computed in the same way. */
export interface DecodeCall {
  readonly kind: 'decode';
  readonly capacity: number;
  /** The merged adapter whose session runs it; absent or null: adapters are applied beside the base. */
  readonly merged?: Digest | null;
  readonly rows: readonly { readonly row: RowId; readonly tokenId: number; readonly position: number }[];
}

/**
 * Both in one, of rows that the base's session computes and whose adapters can be mixed: a token costs least beside others. The chunk's row is none of
 * the decoding ones, and its capacity may be another.
 */
export interface MixedCall {
  readonly kind: 'mixed';
  readonly decode: DecodeCall;
  readonly prefill: PrefillCall & { readonly logits: 'last' | 'none' };
}

export type SessionCall = PrefillCall | DecodeCall | MixedCall;

/**
 * Runs session calls synchronously on one device and owns the rows' memory. Native handles never leave it.
 * Throws when ONNX Runtime fails; the rows of that call are then undefined and must be removed.
 */
export interface ModelExecutor {
  readonly shape: ExecutorShape;
  /** Gives a row KV memory for `capacity` positions and copies its adapter into the row; with `merged`, a loaded one, it needs no adapter. */
  addRow(row: RowId, capacity: number, adapter: PackedAdapter | null, merged?: Digest | null): void;
  /** Moves a row to a larger capacity, keeping its first `usedPositions` positions. */
  growRow(row: RowId, capacity: number, usedPositions: number): void;
  /** From now on the row is computed by the merged adapter's session, or with null by the base's beside its adapter. Keeps its positions. */
  moveRow(row: RowId, adapter: PackedAdapter | null, merged: Digest | null, usedPositions: number): void;
  removeRow(row: RowId): void;
  /**
   * Makes on another thread, while calls go on, what rows with this adapter need beside its packed bytes, and keeps it as long as these are in
   * memory. `addRow` makes it itself where that was left out.
   */
  prepareAdapter(adapter: PackedAdapter): Promise<void>;
  /** Whether rows with this adapter, or with none, can be part of a mixed call. */
  canMix(adapter: PackedAdapter | null): boolean;
  /** Bytes that it keeps for an adapter, beside the packed ones. */
  keptBytes(adapter: PackedAdapter): number;
  /**
   * Copies the keys and values of `BLOCK_POSITIONS` positions out of a row. The slot keeps them, whatever becomes of the row, until another
   * block is saved there. Slots are small numbers; each takes memory from its first use on.
   */
  saveBlock(row: RowId, startPosition: number, slot: number): void;
  /** Copies a saved block into a row, whose positions up to `startPosition` hold what preceded the block when it was saved. */
  restoreBlock(row: RowId, startPosition: number, slot: number): void;
  /**
   * Logits as [n, vocabularySize], row-major: one line for each decode row in the order of the call, one for 'last', one for each token
   * for 'all', none for 'none'; of a mixed call those of the decode rows first. The array is valid until the next call.
   */
  run(call: SessionCall): Float32Array;
  /**
   * exp((logits - largest) * scale) of one line, [vocabularySize]: 1 for the largest; for -Infinity 0 or next to it. The array is the caller's
   * to change until the next call.
   */
  weigh(logits: Float32Array, largest: number, scale: number): Float32Array;
  /**
   * Makes one thing ready that later calls may need: what was left out to start sooner, then memory of the next rows. false when nothing is left. May take
   * a second. Calls work without it: what they need is then made by the first that needs it.
   */
  prepareNext(): boolean;
  /**
   * Gets ready what `loadMerged` of this adapter needs, outside of this process and in its own time. @throws AppError with a message for
   * users when the adapter cannot be merged.
   */
  prepareMerged(digest: Digest): Promise<void>;
  /** Makes the session of a prepared adapter on another thread, while calls go on. Answers the bytes of its own weights. */
  loadMerged(digest: Digest): Promise<number>;
  /** Ends the session of an adapter, or forgets that it was prepared. No row may be computed by it. */
  dropMerged(digest: Digest): void;
  /** Native objects now alive, for leak tests. */
  liveHandles(): number;
  close(): void;
}

/** Reads the packed file of a digest. Rejects when it is missing or damaged. */
export interface PackedAdapterSource {
  load(digest: Digest): Promise<PackedAdapter>;
}

/** Which tokens may come next in one output. Masks are made elsewhere while the engine goes on. */
export interface TokenConstraint {
  /** `working`: the mask after the latest token is being made. */
  readonly state: 'working' | 'ready' | 'failed';
  /** Bit id % 32 of word id / 32 is set when that token may come next. Only while ready. */
  readonly mask: Int32Array;
  /** Why it failed, when it is the grammar's fault; else null. */
  readonly problem: string | null;
  /** Goes on after a token that its mask allows. */
  accept(tokenId: number): void;
  close(): void;
}

export interface ConstraintSource {
  /** `owner`: compiled grammars are shared within it only. */
  open(grammar: OutputGrammar, owner: string): TokenConstraint;
  /** Waits until no constraint is working, at most so long. */
  settle(maxMs: number): void;
  /** Called whenever a constraint became ready or failed outside of `settle`. One listener. */
  onChange(listener: () => void): void;
}
