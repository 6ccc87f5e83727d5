// Messages between the benchmark and its children: one side (engine and precision) lives in each child and measures when it is asked.

export type Workload =
  | {
      readonly kind: 'decode';
      readonly name: string;
      /** One prompt a row; all of one length. */
      readonly prompts: readonly (readonly number[])[];
      /** Untimed tokens of each row before the clock starts. */
      readonly warmUpTokens: number;
      readonly timedTokens: number;
      /** Every row gets an adapter of its own. */
      readonly withAdapters: boolean;
    }
  | { readonly kind: 'prefill'; readonly name: string; readonly prompt: readonly number[]; readonly repeats: number };

export interface SideOptions {
  readonly threadCount: number;
  readonly maxRows: number;
  /** Positions that a row may take. */
  readonly capacity: number;
  /** Ours: precision of the base. The peer takes the file as it is. */
  readonly precision: 'fp32' | 'int8' | 'int4';
}

export type ToSide = { readonly kind: 'measure'; readonly workload: Workload };

export type FromSide =
  | { readonly kind: 'ready' }
  | { readonly kind: 'measured'; readonly tokensPerSecond: number; readonly firstRowTokenIds: readonly number[] }
  | { readonly kind: 'failed'; readonly message: string };
