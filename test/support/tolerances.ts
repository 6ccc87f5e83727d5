// Every tolerance of tests that cross rooms, each with its reason. Numbers only.

/**
 * Largest difference of a natural-log probability from PyTorch's at fp32. Kernels sum in another order: products differ by about 4e-6 relative, which
 * thirty layers and a softmax over 49,152 tokens turn into a few 1e-4 at most. Expected files are rounded to 5 decimals.
 */
export const LOGPROB_FP32 = 1e-3;

/** Below this gap between the two best logits, rounding may choose either: a greedy id may differ from there on. */
export const GREEDY_GAP = 3e-3;

/**
 * Growth of the engine's resident memory over 10,000 steps and 200 swaps after warm-up. The JavaScript heap breathes by some 20 MiB; one leaked
 * 64-token KV tensor or one leaked logits row of the tiny model (1.5 kB) at each step would be over 15 MB, one leaked adapter at each swap over 6 MB
 * (and handles are counted exactly beside it).
 */
export const RESIDENT_GROWTH_BYTES = 40 * 1024 ** 2;

/** Time from `kill -9` of the engine to /readyz answering 200 again, as promised to users. */
export const ENGINE_RECOVERY_MS = 5000;

/** A hundred hot swaps under load end within this time, as promised to users. */
export const HUNDRED_SWAPS_MS = 20_000;
