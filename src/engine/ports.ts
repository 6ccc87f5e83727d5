// What the engine needs from outside: a model executor and a source of packed adapters. Scheduler and step know nothing of ONNX Runtime.
import type { PackedAdapter } from '../adapters/packed.ts';
import type { Digest } from '../core/index.ts';

/** A row of the running batch: KV cache and adapter slot of one request. Chosen by the engine, unique while the row lives. */
export type RowId = number;

export interface ExecutorShape {
  readonly vocabularySize: number;
  readonly maxContext: number;
  /** Bytes of keys and values that one position of one row takes, over all layers. */
  readonly kvBytesPerPosition: number;
}

/** One bounded prefill of consecutive tokens of one row. */
export interface PrefillCall {
  readonly kind: 'prefill';
  readonly row: RowId;
  readonly tokenIds: readonly number[];
  /** Positions already in the row's cache. */
  readonly startPosition: number;
  /** Logits after the last token, after every token, or none at all. */
  readonly logits: 'last' | 'all' | 'none';
}

/** One token for each of some rows; all of them have the given capacity. */
export interface DecodeCall {
  readonly kind: 'decode';
  readonly capacity: number;
  readonly rows: readonly { readonly row: RowId; readonly tokenId: number; readonly position: number }[];
}

export type SessionCall = PrefillCall | DecodeCall;

/**
 * Runs session calls synchronously on one device and owns the rows' memory. Native handles never leave it.
 * Throws when ONNX Runtime fails; the rows of that call are then undefined and must be removed.
 */
export interface ModelExecutor {
  readonly shape: ExecutorShape;
  /** Gives a row KV memory for `capacity` positions and copies its adapter into the row. */
  addRow(row: RowId, capacity: number, adapter: PackedAdapter | null): void;
  /** Moves a row to a larger capacity, keeping its first `usedPositions` positions. */
  growRow(row: RowId, capacity: number, usedPositions: number): void;
  removeRow(row: RowId): void;
  /**
   * Logits as [n, vocabularySize], row-major: one line for each decode row in the order of the call, one for 'last', one for each token
   * for 'all', none for 'none'. The array is valid until the next call.
   */
  run(call: SessionCall): Float32Array;
  /**
   * Loads one thing that later calls may need and that was left out to start sooner; false when nothing is left. May take a second.
   * Calls work without it: what they need is then loaded by the first that needs it.
   */
  prepareNext(): boolean;
  /** Native objects now alive, for leak tests. */
  liveHandles(): number;
  close(): void;
}

/** Reads the packed file of a digest. Rejects when it is missing or damaged. */
export interface PackedAdapterSource {
  load(digest: Digest): Promise<PackedAdapter>;
}
