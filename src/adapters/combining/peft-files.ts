// From packed sites back to PEFT's two files, with scale 1 and every rank its own. What PEFT has no words for is refused.
import { AppError } from '../../core/index.ts';
import { float32Tensor, writeSafetensors, type SafetensorsTensor } from '../../formats/index.ts';
import type { AdapterSite, BaseModelDescription, BaseWeights } from '../../models/index.ts';
import { doraGain } from '../dora-gain.ts';
import type { PackedSiteContent } from '../packed.ts';
import { transpose } from '../row-sums.ts';
import type { AdapterFiles } from '../validate.ts';

/** Read only where gains have to become DoRA's magnitudes. */
type Weights = Pick<BaseWeights, 'readWeight'>;

/**
 * A gain makes every site one of DoRA (its config knows all or none): with y = g (W x) + (x A) B, B / g is DoRA's own B, and the magnitude is
 * g ||W + (A B / g)^T||. A bias becomes that of lora_B, likewise at every site.
 * @throws AppError `unsupported_adapter` for gain and bias together, a bias beside an embedding, and a gain of 0.
 */
export async function peftFiles(
  contents: readonly PackedSiteContent[],
  base: BaseModelDescription,
  weights: Weights,
): Promise<AdapterFiles> {
  const sites = contents.map((content) => ({
    content: withSomeRank(content, siteOf(base, content.site)),
    site: siteOf(base, content.site),
  }));
  const useDora = contents.some(({ gain }) => gain !== undefined);
  const loraBias = contents.some(({ bias }) => bias?.some((value) => value !== 0) ?? false);
  if (useDora && loraBias) throw refusal('gains of DoRA and biases, which PEFT does not take together');
  if (loraBias && sites.some(({ site }) => site.kind === 'embedding'))
    throw refusal('biases beside an adapted embedding, which PEFT does not take');
  const tensors: SafetensorsTensor[] = [];
  for (const { content, site } of sites) {
    tensors.push(...(await siteTensors(content, site, { useDora, loraBias, weights })));
  }
  const ranks = new Map(sites.map(({ content, site }) => [site.module, content.rank]));
  const config = Buffer.from(`${JSON.stringify(configOf(ranks, base, { useDora, loraBias }), null, 2)}\n`);
  return { config, tensors: writeSafetensors(tensors, new Map([['format', 'pt']])) };
}

interface Form {
  readonly useDora: boolean;
  readonly loraBias: boolean;
}

function siteOf(base: BaseModelDescription, id: string): AdapterSite {
  const site = base.sites.find((candidate) => candidate.id === id);
  if (site === undefined) throw new Error(`the base has no site ${id}`);
  return site;
}

/** PEFT has no LoRA of rank 0: where only a bias changes, rank 1 of zeros stands. */
function withSomeRank(content: PackedSiteContent, { inFeatures, outFeatures }: AdapterSite): PackedSiteContent {
  return content.rank > 0 ? content : { ...content, rank: 1, a: new Float32Array(inFeatures), b: new Float32Array(outFeatures) };
}

async function siteTensors(
  { rank, a, b, gain, bias }: PackedSiteContent,
  site: AdapterSite,
  { useDora, loraBias, weights }: Form & { readonly weights: Weights },
): Promise<readonly SafetensorsTensor[]> {
  const { inFeatures, outFeatures } = site;
  const prefix = `base_model.model.${site.module}`;
  const [rowsOfA, rowsOfB] = [
    transpose(a, inFeatures, rank),
    transpose(gain === undefined ? b : divided(b, gain, site), rank, outFeatures),
  ];
  const [nameOfA, nameOfB] = site.kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
  const tensors = [
    float32Tensor(`${prefix}.${nameOfA}`, [rank, inFeatures], rowsOfA),
    float32Tensor(`${prefix}.${nameOfB}`, [outFeatures, rank], rowsOfB),
  ];
  if (loraBias) tensors.push(float32Tensor(`${prefix}.lora_B.bias`, [outFeatures], bias ?? new Float32Array(outFeatures)));
  if (!useDora) return tensors;
  const lora = { site, rank, scale: 1, a: rowsOfA, b: rowsOfB };
  const inverseNorms = await doraGain(lora, await weights.readWeight(site.module), new Float32Array(outFeatures).fill(1), () => undefined);
  const magnitude = inverseNorms.map((inverse, index) => (gain?.[index] ?? 1) / inverse);
  return [...tensors, float32Tensor(`${prefix}.lora_magnitude_vector`, [outFeatures], magnitude)];
}

/** [r, out] over the gains [out]. */
function divided(b: Float32Array, gain: Float32Array, { module }: AdapterSite): Float32Array {
  const zero = gain.indexOf(0);
  if (zero >= 0) throw refusal(`a gain of 0 for output ${zero} of ${module}`);
  return b.map((value, index) => value / (gain[index % gain.length] ?? 1));
}

function configOf(ranks: ReadonlyMap<string, number>, base: BaseModelDescription, { useDora, loraBias }: Form): object {
  const rank = mostFrequent([...ranks.values()]);
  const others = [...ranks].filter(([, own]) => own !== rank);
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base.id,
    inference_mode: true,
    r: rank,
    lora_alpha: rank,
    rank_pattern: Object.fromEntries(others),
    alpha_pattern: Object.fromEntries(others),
    target_modules: [...ranks.keys()],
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    modules_to_save: null,
    use_rslora: false,
    use_dora: useDora,
    lora_bias: loraBias,
  };
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([, left], [, right]) => right - left)[0]?.[0] ?? 1;
}

function refusal(what: string): AppError {
  return new AppError('unsupported_adapter', `PEFT cannot say this mix: it has ${what}`);
}
