// A GGUF LoRA adapter, as llama.cpp's converter writes it, to PEFT's two files: names mapped back, the row order of q and k undone, float32.
// Metadata but for the few keys below is a label; templates in it are never read. Source: llama.cpp, convert_lora_to_gguf.py, llama-adapter.cpp.
import { AppError } from '../core/index.ts';
import {
  ADAPTER_GGUF_LIMITS,
  float32Tensor,
  FormatError,
  type GgufFile,
  parseGguf,
  type SafetensorsTensor,
  writeSafetensors,
} from '../formats/index.ts';
import { type AdapterSite, type BaseModelDescription, unpermuteRows } from '../models/index.ts';
import { shownShape } from './checked-tensor.ts';
import { ggufSites, type GgufSite } from './gguf-sites.ts';
import { transpose } from './row-sums.ts';
import type { AdapterFiles } from './validate.ts';

export const GGUF_FILE = 'adapter.gguf';
const EXPECTED_METADATA = [
  ['general.type', 'adapter'],
  ['adapter.type', 'lora'],
] as const;
/** Keys below `adapter.` that change nothing, or are read here. Others might. */
const KNOWN_ADAPTER_KEYS = new Set(['adapter.type', 'adapter.lora.alpha', 'adapter.lora.task_name', 'adapter.lora.prompt_prefix']);
const PART_NAME = /^(?<tensor>.+)\.lora_(?<part>[ab])$/;

/** @throws AppError `invalid_adapter` or `unsupported_adapter`, naming the key or tensor. */
export async function peftFromGguf(bytes: Uint8Array, base: BaseModelDescription): Promise<AdapterFiles> {
  try {
    const file = parseGguf(bytes, ADAPTER_GGUF_LIMITS);
    const alpha = readMetadata(file, base);
    return await convert(file, alpha, base);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new AppError('invalid_adapter', `${GGUF_FILE}: ${error.message}`, { cause: error });
  }
}

function readMetadata({ metadata }: GgufFile, base: BaseModelDescription): number {
  const expected = [...EXPECTED_METADATA, ['general.architecture', base.family] as const];
  for (const [key, value] of expected) {
    const found = metadata.get(key);
    if (found !== value) throw refuse(`"${key}" is ${shownValue(found)}, expected "${value}"`);
  }
  for (const [key, value] of metadata) {
    if (!key.startsWith('adapter.') || KNOWN_ADAPTER_KEYS.has(key)) continue;
    throw new AppError('unsupported_adapter', `${GGUF_FILE}: "${key.slice(0, 80)}" is ${shownValue(value)}, which is not supported`);
  }
  const alpha = metadata.get('adapter.lora.alpha');
  if (typeof alpha !== 'number' || !Number.isFinite(alpha)) throw refuse(`"adapter.lora.alpha" is ${shownValue(alpha)}, expected a number`);
  return alpha;
}

async function convert(file: GgufFile, alpha: number, base: BaseModelDescription): Promise<AdapterFiles> {
  const tensors: SafetensorsTensor[] = [];
  const rankPattern: Record<string, number> = {};
  for (const site of sitesOf(file, base)) {
    const a = await file.readFloat32(`${site.ggufName}.lora_a`);
    const b = await file.readFloat32(`${site.ggufName}.lora_b`);
    const rank = requireShapes(file, site);
    rankPattern[site.site.module] = rank;
    tensors.push(...peftTensors(site, rank, a, b));
  }
  const modules = Object.keys(rankPattern);
  const [rank = 0] = Object.values(rankPattern);
  const isUniform = Object.values(rankPattern).every((each) => each === rank);
  const config = {
    base_model_name_or_path: null,
    bias: 'none',
    inference_mode: true,
    // llama.cpp takes an alpha of 0 for a scale of 1.
    lora_alpha: alpha === 0 ? rank : alpha,
    peft_type: 'LORA',
    r: rank,
    target_modules: modules,
    task_type: 'CAUSAL_LM',
    ...(!isUniform && { rank_pattern: rankPattern, ...(alpha === 0 && { alpha_pattern: rankPattern }) }),
  };
  return { config: Buffer.from(`${JSON.stringify(config, null, 1)}\n`), tensors: writeSafetensors(tensors, new Map([['format', 'pt']])) };
}

/** Sites in the order of the base; every tensor of the file belongs to one, and each has both parts. */
function sitesOf({ tensors }: GgufFile, base: BaseModelDescription): readonly GgufSite[] {
  const sites = new Map(ggufSites(base).map((site) => [site.ggufName, site]));
  const found = new Set<string>();
  for (const name of tensors.keys()) {
    const { tensor, part } = PART_NAME.exec(name)?.groups ?? {};
    if (tensor === undefined)
      throw refuse(`tensor ${JSON.stringify(name)} is not one of a LoRA, expected <tensor>.lora_a or <tensor>.lora_b`);
    if (!sites.has(tensor)) {
      const tied = tensor === 'output.weight' && base.tiedHead ? '; its head is tied to the embedding, which GGUF cannot adapt alone' : '';
      throw refuse(`tensor ${JSON.stringify(name)} is not of base ${base.id} (${base.layerCount} layers) or cannot be adapted${tied}`);
    }
    const other = `${tensor}.lora_${part === 'a' ? 'b' : 'a'}`;
    if (!tensors.has(other)) throw refuse(`tensor ${JSON.stringify(name)} has no ${JSON.stringify(other)} beside it`);
    found.add(tensor);
  }
  if (found.size === 0) throw refuse('the file has no tensors');
  return [...sites.values()].filter(({ ggufName }) => found.has(ggufName));
}

/** The rank. GGUF keeps the embedding's A as [vocabulary, r], which is PEFT's transposed. */
function requireShapes({ tensors }: GgufFile, { ggufName, site }: GgufSite): number {
  const a = tensors.get(`${ggufName}.lora_a`)?.shape ?? [];
  const b = tensors.get(`${ggufName}.lora_b`)?.shape ?? [];
  const rank = b[1] ?? 0;
  const expected = site.kind === 'embedding' ? [site.inFeatures, rank] : [rank, site.inFeatures];
  if (rank > 0 && a.join() === expected.join() && b.join() === [site.outFeatures, rank].join()) return rank;
  const wanted = site.kind === 'embedding' ? `[${site.inFeatures}, r]` : `[r, ${site.inFeatures}]`;
  throw refuse(
    `${ggufName}: lora_a is ${shownShape(a)} and lora_b ${shownShape(b)}, expected ${wanted} and [${site.outFeatures}, r] with r above 0`,
  );
}

function peftTensors({ site, permutedHeads }: GgufSite, rank: number, a: Float32Array, b: Float32Array): readonly SafetensorsTensor[] {
  const name = `base_model.model.${site.module}`;
  const [nameOfA, nameOfB] = namesOf(site).map((part) => `${name}.${part}`) as [string, string];
  const rowsOfB = permutedHeads === null ? b : unpermuteRows(b, site.outFeatures, permutedHeads);
  return [
    float32Tensor(nameOfA, [rank, site.inFeatures], site.kind === 'embedding' ? transpose(a, site.inFeatures, rank) : a),
    float32Tensor(nameOfB, [site.outFeatures, rank], rowsOfB),
  ];
}

function namesOf({ kind }: AdapterSite): readonly [string, string] {
  return kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
}

function shownValue(value: unknown): string {
  return value === undefined
    ? 'missing'
    : JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item)).slice(0, 80);
}

function refuse(problem: string): AppError {
  return new AppError('invalid_adapter', `${GGUF_FILE}: ${problem}`);
}
