// Random histories of an engine: what may happen to it, and the adapters that it happens with.
import fc from 'fast-check';
import type { Digest } from '../../src/core/index.ts';
import type { GenerationRequest } from '../../src/engine/messages.ts';
import { GREEDY } from './engine-harness.ts';
import { fakeAdapter, fakeMergedOnlyAdapter } from './fake-adapters.ts';

const SIDE_ADAPTERS = [fakeAdapter(1), fakeAdapter(2), fakeAdapter(3)] as const;
/** Few, so that rows are there when their adapter is merged. */
export const MERGING_ADAPTERS = [fakeAdapter(1), fakeAdapter(2), fakeMergedOnlyAdapter(4), fakeMergedOnlyAdapter(5)] as const;
export const ADAPTERS = [...SIDE_ADAPTERS, ...MERGING_ADAPTERS.slice(2)] as const;
export type Shape = Omit<GenerationRequest, 'id'>;

export type Action =
  | { readonly kind: 'submit'; readonly shape: Shape }
  | { readonly kind: 'cancel'; readonly index: number }
  | { readonly kind: 'steps'; readonly count: number }
  | { readonly kind: 'load'; readonly index: number; readonly succeeds: boolean }
  | { readonly kind: 'place'; readonly index: number; readonly mode: 'side' | 'merged' }
  | { readonly kind: 'merge'; readonly succeeds: boolean }
  | { readonly kind: 'fault' };

const sampling = fc.record({
  temperature: fc.constantFrom(0, 0.7, 1.5),
  topK: fc.constantFrom(0, 5),
  topP: fc.constantFrom(1, 0.8),
  repetitionPenalty: fc.constantFrom(1, 1.4),
  frequencyPenalty: fc.constantFrom(0, 0.6),
  seed: fc.nat(1000),
});

const shapeOf = (adapters: readonly { readonly digest: Digest }[]): fc.Arbitrary<Shape> =>
  fc.record({
    group: fc.constantFrom('a', 'b', 'c'),
    promptTokenIds: fc.oneof(
      fc.array(fc.nat(63), { minLength: 1, maxLength: 60 }),
      // Beginnings that several requests share, up to whole prompts; the repetition gives drafts something to find.
      fc
        .record({ start: fc.constantFrom(0, 7), length: fc.constantFrom(15, 16, 17, 40, 70) })
        .map(({ start, length }) => cycle(start, length)),
    ),
    adapterDigest: fc.constantFrom(null, ...adapters.map(({ digest }) => digest)),
    maxNewTokens: fc.oneof(fc.nat(20), fc.integer({ min: 40, max: 90 })),
    stopTokenIds: fc.constantFrom([], [], [5]),
    sampling: sampling.map((changes) => ({ ...GREEDY, ...changes })),
    logprobs: fc.constantFrom(null, 0, 2),
    promptLogprobs: fc.constantFrom(null, null, 1),
  });

function cycle(start: number, length: number): number[] {
  return Array.from({ length }, (_, index) => start + (index % 9));
}

interface Happenings {
  readonly faults: boolean;
  readonly merges: boolean;
}

export const action = ({ faults: withFaults, merges: withMerges }: Happenings): fc.Arbitrary<Action> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: shapeOf(withMerges ? MERGING_ADAPTERS : SIDE_ADAPTERS).map((value) => ({ kind: 'submit', shape: value }) as const),
    },
    { weight: 1, arbitrary: fc.nat(30).map((index) => ({ kind: 'cancel', index }) as const) },
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 25 }).map((count) => ({ kind: 'steps', count }) as const) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('load' as const), index: fc.nat(2), succeeds: fc.constant(true) }) },
    {
      weight: withFaults ? 1 : 0,
      arbitrary: fc.record({ kind: fc.constant('load' as const), index: fc.nat(2), succeeds: fc.constant(false) }),
    },
    ...(withMerges ? mergeActions(withFaults) : []),
    { weight: withFaults ? 1 : 0, arbitrary: fc.constant({ kind: 'fault' } as const) },
  );

/** One adapter is placed at a time, so that those with a side path are often merged and back. */
function mergeActions(withFaults: boolean): readonly fc.WeightedArbitrary<Action>[] {
  const place = fc.record({
    kind: fc.constant('place' as const),
    index: fc.nat(1),
    mode: fc.constantFrom('side' as const, 'merged' as const, 'merged' as const),
  });
  const merge = (succeeds: boolean) => fc.record({ kind: fc.constant('merge' as const), succeeds: fc.constant(succeeds) });
  return [
    { weight: 3, arbitrary: place },
    { weight: 6, arbitrary: merge(true) },
    { weight: withFaults ? 1 : 0, arbitrary: merge(false) },
  ];
}
