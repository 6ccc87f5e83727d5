// Llama in float64, written as the papers say and without regard for speed: what compiled graphs are measured against.
import type { LlamaConfig } from '../../../src/architectures/index.ts';
import type { Checkpoint } from './materialise.ts';

/** What an adapter does at one site: y = gain * (W x) + (x A) B + bias. */
export interface ReferenceSite {
  readonly rank: number;
  /** [in, rank]; embedding: [vocabulary, rank]. */
  readonly a: Float32Array;
  /** [rank, out] */
  readonly b: Float32Array;
  readonly gain?: Float32Array;
  readonly bias?: Float32Array;
}

export type ReferenceAdapter = ReadonlyMap<string, ReferenceSite>;

export interface ReferenceOptions {
  readonly config: LlamaConfig;
  readonly checkpoint: Checkpoint;
  readonly adapter?: ReferenceAdapter;
  /** Radians per position, headSize / 2 of them. */
  readonly frequencies: readonly number[];
}

type Vector = readonly number[];

/** Logits after each token, [tokens][vocabulary]. */
export function referenceLogits(options: ReferenceOptions, tokenIds: readonly number[]): readonly Vector[] {
  const { config } = options;
  let hidden = tokenIds.map((id) => embed(options, id));
  for (let layer = 0; layer < config.layerCount; layer++) {
    const attended = attend(
      options,
      layer,
      hidden.map((x) => rmsNorm(options, `model.layers.${layer}.input_layernorm`, x)),
    );
    const middle = hidden.map((x, position) => add(x, attended[position] ?? []));
    hidden = middle.map((x) => add(x, mlp(options, layer, rmsNorm(options, `model.layers.${layer}.post_attention_layernorm`, x))));
  }
  const head = config.tiedHead ? 'model.embed_tokens' : 'lm_head';
  return hidden.map((x) =>
    linear(options, { site: 'head', module: head, outFeatures: config.vocabularySize, hasBias: false }, rmsNorm(options, 'model.norm', x)),
  );
}

function embed({ config, checkpoint, adapter }: ReferenceOptions, id: number): Vector {
  const { hiddenSize, vocabularySize } = config;
  const table = checkpoint('model.embed_tokens.weight', vocabularySize * hiddenSize);
  const row = [...table.subarray(id * hiddenSize, (id + 1) * hiddenSize)];
  const site = adapter?.get('embed');
  if (!site) return row;
  return row.map(
    (value, index) =>
      value * (site.gain?.[index] ?? 1) + dot(site.rank, (r) => at(site.a, id * site.rank + r) * at(site.b, r * hiddenSize + index)),
  );
}

interface LinearSpec {
  readonly site: string;
  readonly module: string;
  readonly outFeatures: number;
  readonly hasBias: boolean;
}

function linear({ checkpoint, adapter }: ReferenceOptions, { site: siteId, module, outFeatures, hasBias }: LinearSpec, x: Vector): Vector {
  const weight = checkpoint(`${module}.weight`, outFeatures * x.length);
  const baseBias = hasBias ? checkpoint(`${module}.bias`, outFeatures) : null;
  const site = adapter?.get(siteId);
  const down = site
    ? Array.from({ length: site.rank }, (_, r) => dot(x.length, (index) => (x[index] ?? 0) * at(site.a, index * site.rank + r)))
    : [];
  return Array.from({ length: outFeatures }, (_, out) => {
    const base = dot(x.length, (index) => at(weight, out * x.length + index) * (x[index] ?? 0));
    const side = site ? dot(site.rank, (r) => (down[r] ?? 0) * at(site.b, r * outFeatures + out)) : 0;
    return (site?.gain?.[out] ?? 1) * base + side + (site?.bias?.[out] ?? 0) + (baseBias?.[out] ?? 0);
  });
}

function attend(options: ReferenceOptions, layer: number, inputs: readonly Vector[]): readonly Vector[] {
  const { config } = options;
  const { headCount, kvHeadCount, headSize, attentionBias, hiddenSize } = config;
  const project = (site: string, module: string, outFeatures: number, x: Vector): Vector =>
    linear(
      options,
      { site: `layers.${layer}.${site}`, module: `model.layers.${layer}.self_attn.${module}`, outFeatures, hasBias: attentionBias },
      x,
    );
  const queries = inputs.map((x, position) => rotate(options, position, project('q', 'q_proj', headCount * headSize, x)));
  const keys = inputs.map((x, position) => rotate(options, position, project('k', 'k_proj', kvHeadCount * headSize, x)));
  const values = inputs.map((x) => project('v', 'v_proj', kvHeadCount * headSize, x));
  return inputs.map((_, position) => {
    const first = config.slidingWindow === null ? 0 : Math.max(0, position - config.slidingWindow + 1);
    const heads = Array.from({ length: headCount }, (_unused, head) => {
      const query = (queries[position] ?? []).slice(head * headSize, (head + 1) * headSize);
      const offset = Math.floor((head * kvHeadCount) / headCount) * headSize;
      const scores = keys
        .slice(first, position + 1)
        .map((key) => dot(headSize, (index) => (query[index] ?? 0) * (key[offset + index] ?? 0)) / Math.sqrt(headSize));
      const weights = softmax(scores);
      return Array.from({ length: headSize }, (_dim, index) =>
        dot(weights.length, (past) => (weights[past] ?? 0) * (values[first + past]?.[offset + index] ?? 0)),
      );
    });
    return project('o', 'o_proj', hiddenSize, heads.flat());
  });
}

/** Rotates the pairs (i, i + half) of every head. */
function rotate({ config, frequencies }: ReferenceOptions, position: number, x: Vector): Vector {
  const { headSize } = config;
  const half = headSize / 2;
  return x.map((value, index) => {
    const inHead = index % headSize;
    const angle = position * (frequencies[inHead % half] ?? 0);
    const partner = inHead < half ? -(x[index + half] ?? 0) : (x[index - half] ?? 0);
    return value * Math.cos(angle) + partner * Math.sin(angle);
  });
}

function mlp(options: ReferenceOptions, layer: number, x: Vector): Vector {
  const { intermediateSize, hiddenSize, mlpBias } = options.config;
  const project = (site: string, out: number, input: Vector): Vector =>
    linear(
      options,
      { site: `layers.${layer}.${site}`, module: `model.layers.${layer}.mlp.${site}_proj`, outFeatures: out, hasBias: mlpBias },
      input,
    );
  const gate = project('gate', intermediateSize, x);
  const up = project('up', intermediateSize, x);
  return project(
    'down',
    hiddenSize,
    gate.map((value, index) => (value / (1 + Math.exp(-value))) * (up[index] ?? 0)),
  );
}

function rmsNorm({ checkpoint, config }: ReferenceOptions, module: string, x: Vector): Vector {
  const scale = checkpoint(`${module}.weight`, x.length);
  const root = Math.sqrt(dot(x.length, (index) => (x[index] ?? 0) ** 2) / x.length + config.rmsEpsilon);
  return x.map((value, index) => (value / root) * at(scale, index));
}

function softmax(scores: Vector): Vector {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function add(left: Vector, right: Vector): Vector {
  return left.map((value, index) => value + (right[index] ?? 0));
}

function dot(length: number, term: (index: number) => number): number {
  let sum = 0;
  for (let index = 0; index < length; index++) sum += term(index);
  return sum;
}

function at(values: Float32Array, index: number): number {
  const value = values[index];
  if (value === undefined) throw new Error(`index ${index} is outside of ${values.length} values`);
  return value;
}
