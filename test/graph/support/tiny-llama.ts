// A llama of two layers with seeded weights, and the feeds of its graphs.
import type { LlamaConfig } from '../../../src/architectures/index.ts';
import type { LoraGroup } from '../../../src/graph/index.ts';
import type { Checkpoint } from './materialise.ts';
import { seededValues } from './random.ts';
import type { ReferenceAdapter } from './reference-llama.ts';
import type { Feeds } from './run-graph.ts';

export const tinyLlama: LlamaConfig = {
  family: 'llama',
  vocabularySize: 96,
  hiddenSize: 64,
  intermediateSize: 96,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 16,
  maxContext: 128,
  rmsEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { kind: 'none' },
  tiedHead: true,
  attentionBias: false,
  mlpBias: false,
  slidingWindow: null,
};

const tensors = new Map<string, Float32Array>();

/** Norm scales around 1, everything else around 0. */
export const tinyCheckpoint: Checkpoint = (name, elements) => {
  let values = tensors.get(name);
  if (values?.length !== elements) {
    values = seededValues(elements, name, 0.25).map((value) => (name.endsWith('norm.weight') ? 1 + value : value));
    tensors.set(name, values);
  }
  return values;
};

export interface Row {
  /** New tokens of this run; equally many in each row. */
  readonly tokenIds: readonly number[];
  /** Length of the sequence before this run. */
  readonly pastLength?: number;
  readonly adapter?: ReferenceAdapter;
}

/** Past of a run: capacity and, when there is one, the present of the run before. */
export interface PastBuffers {
  readonly capacity: number;
  readonly from?: Readonly<Record<string, { readonly data: Float32Array }>>;
}

export function decoderFeeds(config: LlamaConfig, rows: readonly Row[], past: PastBuffers, positions?: readonly number[]): Feeds {
  const tokenCount = rows[0]?.tokenIds.length ?? 0;
  const wanted = positions ?? Array.from({ length: tokenCount }, (_, index) => index);
  const totals = rows.map((row) => (row.pastLength ?? 0) + tokenCount);
  const shape = [rows.length, config.kvHeadCount, past.capacity, config.headSize];
  const names = Array.from({ length: config.layerCount }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  return {
    input_ids: {
      data: BigInt64Array.from(
        rows.flatMap((row) => row.tokenIds),
        BigInt,
      ),
      dims: [rows.length, tokenCount],
    },
    seqlens_k: { data: Int32Array.from(totals, (total) => total - 1), dims: [rows.length] },
    total_sequence_length: { data: Int32Array.of(Math.max(...totals)), dims: [1] },
    logits_positions: {
      data: BigInt64Array.from(
        rows.flatMap(() => wanted),
        BigInt,
      ),
      dims: [rows.length, wanted.length, 1],
    },
    ...Object.fromEntries(
      names.map((name) => [
        `past.${name}`,
        { data: past.from?.[`present.${name}`]?.data ?? new Float32Array(shape.reduce((product, size) => product * size)), dims: shape },
      ]),
    ),
  };
}

/** Adapter inputs of a run: every part padded to the largest rank among the rows. */
export function loraFeeds(groups: readonly LoraGroup[], rows: readonly Row[]): Feeds {
  return Object.assign({}, ...groups.map((group) => groupFeeds(group, rows))) as Feeds;
}

function groupFeeds(group: LoraGroup, rows: readonly Row[]): Feeds {
  const { inputs, parts } = group;
  const sites = rows.map((row) => parts.map(({ site }) => row.adapter?.get(site)));
  const ranks = parts.map((_, part) => Math.max(0, ...sites.map((row) => row[part]?.rank ?? 0)));
  const rankSum = ranks.reduce((sum, rank) => sum + rank, 0);
  const outSum = parts.reduce((sum, part) => sum + part.outFeatures, 0);
  const tokens = rows[0]?.tokenIds ?? [];
  const lines = group.kind === 'embedding' ? tokens.length : group.inFeatures;
  const a = rows.flatMap((row, index) =>
    Array.from({ length: lines }, (_, line) =>
      ranks.flatMap((rank, part) => {
        const site = sites[index]?.[part];
        const source = group.kind === 'embedding' ? (row.tokenIds[line] ?? 0) : line;
        return Array.from({ length: rank }, (_unused, r) => (site && r < site.rank ? (site.a[source * site.rank + r] ?? 0) : 0));
      }),
    ).flat(),
  );
  const b = parts.map(({ outFeatures }, part) =>
    sites.flatMap((row) =>
      Array.from({ length: (ranks[part] ?? 0) * outFeatures }, (_, index) =>
        (row[part]?.rank ?? 0) * outFeatures > index ? (row[part]?.b[index] ?? 0) : 0,
      ),
    ),
  );
  const perOutput = (field: 'gain' | 'bias', neutral: number): Float32Array =>
    Float32Array.from(
      sites.flatMap((row) =>
        parts.flatMap(({ outFeatures }, part) => Array.from({ length: outFeatures }, (_, index) => row[part]?.[field]?.[index] ?? neutral)),
      ),
    );
  return {
    [inputs.a]: { data: Float32Array.from(a), dims: [rows.length, lines, rankSum] },
    ...(inputs.ranks && { [inputs.ranks]: { data: BigInt64Array.from(ranks, BigInt), dims: [parts.length] } }),
    ...Object.fromEntries(
      inputs.b.map((name, part) => [
        name,
        { data: Float32Array.from(b[part] ?? []), dims: [rows.length, ranks[part] ?? 0, parts[part]?.outFeatures ?? 0] },
      ]),
    ),
    ...(inputs.gain && { [inputs.gain]: { data: perOutput('gain', 1), dims: [rows.length, 1, outSum] } }),
    ...(inputs.bias && { [inputs.bias]: { data: perOutput('bias', 0), dims: [rows.length, 1, outSum] } }),
  };
}

/** An adapter with seeded A and B at the sites that `choose` gives a rank; `full` also with gain and bias. */
export function seededAdapter(
  sites: readonly { readonly id: string; readonly kind: string; readonly inFeatures: number; readonly outFeatures: number }[],
  seed: string,
  choose: (site: string) => number,
  full = false,
): ReferenceAdapter {
  return new Map(
    sites
      .filter(({ id }) => choose(id) > 0)
      .map(({ id, kind, inFeatures, outFeatures }) => {
        const rank = choose(id);
        const site = {
          rank,
          a: seededValues(inFeatures * rank, `${seed}.${id}.a`, 0.2),
          b: seededValues(rank * outFeatures, `${seed}.${id}.b`, 0.2),
        };
        if (!full) return [id, site] as const;
        const gain = seededValues(outFeatures, `${seed}.${id}.gain`, 0.3).map((value) => 1 + value);
        return [
          id,
          { ...site, gain, ...(kind !== 'embedding' && { bias: seededValues(outFeatures, `${seed}.${id}.bias`, 0.2) }) },
        ] as const;
      }),
  );
}
