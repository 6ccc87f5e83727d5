// Messages between a process and its grammar thread. The thread answers each `open` and `accept` with one mask or one failure.
import type { MessagePort } from 'node:worker_threads';
import type { Grammar } from './grammar.ts';

export type ToGrammarThread =
  | { readonly kind: 'open'; readonly id: number; readonly grammar: Grammar; readonly owner: string }
  | { readonly kind: 'accept'; readonly id: number; readonly tokenId: number }
  | { readonly kind: 'close'; readonly id: number };

export type FromGrammarThread =
  | { readonly kind: 'mask'; readonly id: number; readonly mask: Int32Array; readonly memoryBytes: number }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: string; readonly memoryBytes: number };

/** `workerData` of a grammar thread; `model` is what its entry file needs to find the vocabulary. */
export interface GrammarThreadData {
  readonly port: MessagePort;
  /** One 32-bit number, raised after each answer. */
  readonly answers: SharedArrayBuffer;
  readonly model: unknown;
}
