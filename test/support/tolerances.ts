// Every tolerance of tests that cross rooms, each with its reason. Numbers only.

/**
 * Largest difference of a natural-log probability from PyTorch's at fp32. Kernels sum in another order: products differ by about 4e-6 relative. Measured
 * on the real model: 3e-5 over all cases (expected files are rounded to 5 decimals). Every adapter of the fixtures moves some by over 0.1.
 */
export const LOGPROB_FP32 = 1e-3;

/** Below this gap between the two best logits, rounding may choose either: a greedy id may differ from there on. */
export const GREEDY_GAP = 3e-3;

/**
 * Growth of the engine's resident memory over 10,000 steps and 200 swaps after warm-up. Measured: 14 to 16 MiB, the JavaScript heap finding its size.
 * A leak of 4 kB at each step (one row of logits is 1.5 kB, one position of one row's KV 0.5 kB) or 200 kB at each swap would be over the bound;
 * native objects are counted exactly beside it.
 */
export const RESIDENT_GROWTH_BYTES = 40 * 1024 ** 2;

/** Time from `kill -9` of the engine to /readyz answering 200 again, as promised to users. */
export const ENGINE_RECOVERY_MS = 5000;

/** A hundred hot swaps under load end within this time, as promised to users. */
export const HUNDRED_SWAPS_MS = 20_000;

/** Error of a merged tensor's norm and projection, relative to its norm, against PEFT's merge: both round each value to float32. */
export const MERGED_FP32 = 1e-6;

/** Largest change of A and B over GGUF and back, relative to the largest value: B carries what one alpha cannot say, rounded to float32 twice. */
export const GGUF_ROUND_TRIP = 3e-7;

/**
 * As LOGPROB_FP32, where both sides cache keys and values as int8: a product that differs in its last bits may round to the next of 255 levels.
 * Measured over 20 schedules: 1.4e-5, and 1e-3 where one did.
 */
export const LOGPROB_INT8_KV = 1e-2;

/** KL divergence from a float32 to an int8 cache on the tiny model. Measured: 0.0009; with the scales of keys and values exchanged, 0.0044. */
export const KL_INT8_KV = 0.002;

/** Sum of the losses of five tokens, about 6 nats each, in float32 against float64 on the tiny models: some hundred roundings of 6e-8 relative. */
export const TRAIN_REFERENCE_LOSS = 1e-4;

/** Gradient along a random direction in float32 against finite differences in float64, over the larger of 1 and the gradient's norm. */
export const TRAIN_REFERENCE_SLOPE = 5e-4;

/**
 * Mean KL of a merged model's int8 weights from its float32 ones, relative to that of the base over the same prompts. Measured: 0.0052 to 0.0056 against 0.0051,
 * so 1.01 to 1.10; changed weights were Q4_1 and are not any more, which int8 blocks meet a little less exactly.
 */
export const KL_MERGED_TO_BASE = 1.2;
/** Mean distance from float32 of one row by the graph for one token, to that by the graph for any rows: both round to 8 bits, at other places. Measured on the tiny model: 0.95 to 1.03. */
export const TOKEN_TO_ROWS = 1.1;
/** Loss of a training step against PEFT's, in nats, for ten steps. Measured: 6e-6 (expected values have 5 decimals); a step's rows in another order move it by 0.1. */
export const TRAINING_LOSS = 3e-4;

/** Gradient norm against PEFT's, relative. Measured: 1e-5. A norm from which one layer is missing is off by 1 %. */
export const GRADIENT_NORM = 3e-3;

/** Loss on held-out rows after ten steps against PEFT's, in nats. Measured: 3e-6; the ten steps move it by 0.3 and more. */
export const HELD_OUT_LOSS = 1e-3;

/** Trained A, B and magnitudes against PEFT's, relative Frobenius over all layers: the expected files are float16. Measured: 2.2e-4. */
export const TRAINED_VALUES = 5e-3;

/** Products of adapters trained again on another processor against the fixtures', relative Frobenius: Adam turns the last bits of small gradients into steps. */
export const RETRAINED_VALUES = 5e-3;

/** Log probability of the base under a published adapter of an init that subtracts its beginning, at step 0: [A; A0] and [B, -B0] cancel but for rounding. */
export const UNCHANGED_LOGPROB = 3e-4;
