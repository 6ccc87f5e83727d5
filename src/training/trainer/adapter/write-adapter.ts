// An adapter as PEFT 0.21 saves it: adapter_config.json and adapter_model.safetensors, float32. Equal values, equal bytes.
import { float32Tensor, type SafetensorsTensor, writeSafetensors } from '../../../formats/index.ts';
import { targetModuleNames } from '../sites.ts';
import type { PublishedAdapter } from './publish.ts';
import type { SiteValues } from './trained-site.ts';

export interface AdapterFiles {
  readonly config: Uint8Array;
  readonly tensors: Uint8Array;
}

const PREFIX = 'base_model.model.';

/** @param baseLabel `base_model_name_or_path`: a label for people, never a path. */
export function adapterFiles(adapter: PublishedAdapter, baseLabel: string): AdapterFiles {
  return {
    config: Buffer.from(`${JSON.stringify(peftConfig(adapter, baseLabel), null, 2)}\n`),
    tensors: writeSafetensors(adapter.sites.flatMap(siteTensors), new Map([['format', 'pt']])),
  };
}

function siteTensors({ target, a, b, magnitude }: SiteValues): readonly SafetensorsTensor[] {
  const { site, rank } = target;
  const name = `${PREFIX}${site.module}`;
  const [nameA, nameB] = site.kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
  return [
    float32Tensor(`${name}.${nameA}`, [rank, site.inFeatures], a),
    float32Tensor(`${name}.${nameB}`, [site.outFeatures, rank], b),
    ...(magnitude === null ? [] : [float32Tensor(`${name}.lora_magnitude_vector`, [site.outFeatures], magnitude)]),
  ];
}

/** Every field of LoraConfig 0.21 that has a value; the rest takes PEFT's defaults. */
function peftConfig({ lora, sites }: PublishedAdapter, baseLabel: string): Record<string, unknown> {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: baseLabel,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    // Published factors stand for a change of the unchanged base: an init that changes the base would be applied once more.
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: lora.alpha,
    lora_bias: false,
    lora_dropout: lora.dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    peft_version: '0.21.2',
    r: lora.r,
    rank_pattern: lora.rankPattern,
    revision: null,
    target_modules: targetModuleNames(sites.map(({ target }) => target)),
    task_type: 'CAUSAL_LM',
    use_dora: lora.useDora,
    use_rslora: lora.useRslora,
  };
}
