// The tensors that a llama checkpoint must have: Hugging Face's names and shapes, GGUF's names, and how llama.cpp reorders rows.
import type { LlamaConfig } from './config.ts';
import { EMBEDDING_MODULE, FINAL_NORM_MODULE, HEAD_MODULE, LAYER_NORMS, layerLinears, layerModule } from './linears.ts';

export interface CheckpointTensor {
  /** As in Hugging Face's files: `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  /** As in GGUF: `blk.0.attn_q.weight`. */
  readonly ggufName: string;
  /** Row-major; a linear's weight is [out, in]. GGUF writes the axes in the opposite order. */
  readonly shape: readonly number[];
  /** In GGUF the rows (or elements of a bias) of this many heads are permuted and need `unpermuteRows`; null: they are not. */
  readonly permutedHeads: number | null;
}

/** Every tensor of the checkpoint, each once; a tied head has none of its own. */
export function llamaCheckpointTensors(config: LlamaConfig): readonly CheckpointTensor[] {
  const { vocabularySize, hiddenSize, layerCount, tiedHead } = config;
  const plain = (name: string, ggufName: string, shape: readonly number[]): CheckpointTensor => ({
    name,
    ggufName,
    shape,
    permutedHeads: null,
  });
  const head = plain(`${HEAD_MODULE}.weight`, 'output.weight', [vocabularySize, hiddenSize]);
  return [
    plain(`${EMBEDDING_MODULE}.weight`, 'token_embd.weight', [vocabularySize, hiddenSize]),
    ...Array.from({ length: layerCount }, (_, layer) => layerTensors(config, layer)).flat(),
    plain(`${FINAL_NORM_MODULE}.weight`, 'output_norm.weight', [hiddenSize]),
    ...(tiedHead ? [] : [head]),
  ];
}

const CHANGED = 'changed/';

/** The name under which a graph reads a tensor that an adapter changed; it is in no checkpoint. */
export function changedTensor(name: string): string {
  return `${CHANGED}${name}`;
}

/** What `changedTensor` was given; null: the name of a tensor of the base. */
export function originalTensor(name: string): string | null {
  return name.startsWith(CHANGED) ? name.slice(CHANGED.length) : null;
}

function layerTensors(config: LlamaConfig, layer: number): readonly CheckpointTensor[] {
  const norms = LAYER_NORMS.map(({ module, gguf }) => ({
    name: `${layerModule(layer, module)}.weight`,
    ggufName: `blk.${layer}.${gguf}.weight`,
    shape: [config.hiddenSize],
    permutedHeads: null,
  }));
  const linears = layerLinears(config).flatMap(
    ({ module, gguf, outFeatures, inFeatures, hasBias, permutedHeads }): readonly CheckpointTensor[] => {
      const tensor = (part: 'weight' | 'bias', shape: readonly number[]): CheckpointTensor => ({
        name: `${layerModule(layer, module)}.${part}`,
        ggufName: `blk.${layer}.${gguf}.${part}`,
        shape,
        permutedHeads,
      });
      return [tensor('weight', [outFeatures, inFeatures]), ...(hasBias ? [tensor('bias', [outFeatures])] : [])];
    },
  );
  return [...norms, ...linears];
}

/**
 * Undoes the row order of llama.cpp's converter, which writes the rows of each head as first, first of the second half, second, ...
 * (`LlamaModel.permute` of convert_hf_to_gguf.py: reshape to [heads, 2, half], exchange the last two). It does so for weight and bias of
 * q with the query heads and of k with the key-value heads, and for no other tensor.
 * `rows` holds `rowCount` rows of equal length, as floats or as the bytes of quantised blocks (which never span rows).
 */
export function unpermuteRows<Rows extends Float32Array | Uint8Array>(rows: Rows, rowCount: number, heads: number): Rows {
  return reorderRows(rows, rowCount, heads, 'unpermute');
}

/** The row order of llama.cpp's converter; undoes `unpermuteRows`. */
export function permuteRows<Rows extends Float32Array | Uint8Array>(rows: Rows, rowCount: number, heads: number): Rows {
  return reorderRows(rows, rowCount, heads, 'permute');
}

type Direction = 'permute' | 'unpermute';

function reorderRows<Rows extends Float32Array | Uint8Array>(rows: Rows, rowCount: number, heads: number, direction: Direction): Rows {
  const half = rowCount / heads / 2;
  const width = rows.length / rowCount;
  if (!Number.isInteger(half) || !Number.isInteger(width))
    throw new Error(`${rows.length} values in ${rowCount} rows of ${heads} heads can't be ${direction}d`);
  // Not slice(), which on a Buffer copies nothing.
  const result = (rows instanceof Float32Array ? new Float32Array(rows) : new Uint8Array(rows)) as Rows;
  for (let row = 0; row < rowCount; row++) {
    const inHead = row % (2 * half);
    const permuted = row - inHead + (inHead % half) * 2 + Math.floor(inHead / half);
    const [source, target] = direction === 'permute' ? [row, permuted] : [permuted, row];
    result.set(rows.subarray(source * width, (source + 1) * width), target * width);
  }
  return result;
}
