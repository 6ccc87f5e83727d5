// PEFT's two files to a GGUF LoRA adapter that llama.cpp takes. What GGUF has no words for is refused, never dropped.
import { AppError } from '../core/index.ts';
import { float32Tensor, type GgufTensorContent, type SafetensorsTensor, tensorToFloat32, writeGguf } from '../formats/index.ts';
import { type BaseModelDescription, permuteRows } from '../models/index.ts';
import { ggufSites, type GgufSite } from './gguf-sites.ts';
import { transpose } from './row-sums.ts';
import { validateAdapter, type AdapterFiles, type ValidatedSite } from './validate.ts';

/**
 * One alpha stands for the whole file, and llama.cpp scales by alpha / r. Where PEFT's scales are others (patterns, rsLoRA), B carries the rest.
 * @throws AppError `unsupported_adapter` when the adapter is more than LoRA, or adapts a tied head.
 */
export function ggufFromPeft(files: AdapterFiles, base: BaseModelDescription, name: string): Uint8Array {
  const { sites, replaced } = validateAdapter(files, base, Number.MAX_SAFE_INTEGER);
  const other = replaced.find(({ kind }) => kind !== 'copy');
  if (other !== undefined) throw refuse(`a ${WORDS[other.kind]} (tensor ${JSON.stringify(other.tensor.name)})`);
  const named = new Map(ggufSites(base).map((each) => [each.site.id, each]));
  const alphas = sites.map(({ scale, rank }) => scale * rank);
  const [alpha = 0] = alphas;
  const isUniform = alpha !== 0 && alphas.every((each) => each === alpha);
  const written = isUniform ? alpha : 1;
  const tensors = sites.flatMap((site) => {
    const target = named.get(site.site.id);
    if (target === undefined) throw refuse('an adapter of a head that is tied to the embedding');
    return ggufTensors(site, target, isUniform ? 1 : (site.scale * site.rank) / written);
  });
  const metadata = new Map<string, string | number>([
    ['general.architecture', base.family],
    ['general.type', 'adapter'],
    ['general.name', name],
    ['adapter.type', 'lora'],
    ['adapter.lora.alpha', written],
  ]);
  return writeGguf(metadata, tensors);
}

const WORDS = { bias: 'trained bias', rows: 'trained embedding row', full: 'full weight', copy: 'copy' } as const;

function ggufTensors(
  { rank, tensors }: ValidatedSite,
  { site, ggufName, permutedHeads }: GgufSite,
  factor: number,
): readonly GgufTensorContent[] {
  if (tensors.magnitude !== undefined) throw refuse('the magnitudes of DoRA');
  if (tensors.bias !== undefined) throw refuse('a bias of lora_B');
  const a = site.kind === 'embedding' ? transposed(tensors.a, rank, site.inFeatures) : tensors.a;
  const b = factor === 1 ? tensors.b : scaled(tensors.b, factor);
  const bytes = permutedHeads === null ? b.bytes : permuteRows(b.bytes, site.outFeatures, permutedHeads);
  return [
    { name: `${ggufName}.lora_a`, type: a.dtype, shape: a.shape, bytes: a.bytes },
    { name: `${ggufName}.lora_b`, type: b.dtype, shape: b.shape, bytes },
  ];
}

function transposed(tensor: SafetensorsTensor, rows: number, columns: number): SafetensorsTensor {
  return float32Tensor(tensor.name, [columns, rows], transpose(tensorToFloat32(tensor), rows, columns), tensor.dtype);
}

/** In float32: the product is not of the file's precision. */
function scaled(tensor: SafetensorsTensor, factor: number): SafetensorsTensor {
  return float32Tensor(
    tensor.name,
    tensor.shape,
    tensorToFloat32(tensor).map((value) => value * factor),
  );
}

function refuse(what: string): AppError {
  return new AppError('unsupported_adapter', `GGUF cannot say this adapter: it has ${what}; export it as peft`);
}
