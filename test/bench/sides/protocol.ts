// What is asked of a side (an engine at a precision, alone in its process) and what it answers. Python sides speak it too: ../peers/side.py.

/** `count` different adapters of one rank on all linears; row r uses adapter r mod count. */
export interface AdapterMix {
  readonly count: number;
  readonly rank: number;
}

export interface DecodeWorkload {
  readonly kind: 'decode';
  /** One prompt a row; all of one length. */
  readonly prompts: readonly (readonly number[])[];
  /** Untimed tokens of each row before the clock starts. */
  readonly warmUpTokens: number;
  readonly timedTokens: number;
  readonly adapters: AdapterMix | null;
}

export interface PrefillWorkload {
  readonly kind: 'prefill';
  readonly prompt: readonly number[];
  /** Timed runs after an untimed one. */
  readonly repeats: number;
}

export type Workload = DecodeWorkload | PrefillWorkload;

export interface SideOptions {
  /** The GGUF file that every side reads. */
  readonly modelFile: string;
  readonly threadCount: number;
  readonly maxRows: number;
  /** Ours: precision of the base. Peers take the file as it is. */
  readonly precision: string;
}

export type Answer =
  | {
      readonly kind: 'measured';
      readonly tokensPerSecond: number;
      readonly firstRowTokenIds: readonly number[];
      /** Ours: precision of the form that computed the timed calls. */
      readonly form?: string;
    }
  /** The engine has no such feature, or not here. */
  | { readonly kind: 'cannot'; readonly reason: string };

/** What a child says, one JSON value a line. */
export type FromChild<T> =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly answer: T }
  | { readonly kind: 'failed'; readonly message: string };

/** The file descriptor of the child's lines: libraries may print what they like to the usual ones. */
export const ANSWER_DESCRIPTOR = 3;
