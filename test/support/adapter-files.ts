// Small PEFT adapters made up in a test, and those of the fixtures, as the two files that PEFT saves.
import { readFileSync } from 'node:fs';
import { float32Tensor, writeSafetensors } from '../../src/formats/index.ts';
import { fixturePath } from './repository.ts';

export interface AdapterFilePair {
  readonly config: Uint8Array;
  readonly tensors: Uint8Array;
}

/** Shape and values of one tensor, by name. */
export type TensorTable = Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>;

export function adapterFiles(config: Readonly<Record<string, unknown>>, tensors: TensorTable): AdapterFilePair {
  const entries = Object.entries(tensors).map(([name, { shape, values }]) => float32Tensor(name, shape, values));
  return { config: Buffer.from(JSON.stringify({ peft_type: 'LORA', ...config })), tensors: writeSafetensors(entries) };
}

/** A plain LoRA of rank 2 on one q_proj of a base with this hidden size; another seed makes another content. */
export function plainAdapter(seed: number, hiddenSize: number): AdapterFilePair {
  const prefix = 'base_model.model.model.layers.0.self_attn.q_proj';
  const values = (length: number): Float32Array => Float32Array.from({ length }, (_, index) => Math.sin(seed * 100 + index));
  return adapterFiles(
    { r: 2, lora_alpha: 4, target_modules: ['q_proj'] },
    {
      [`${prefix}.lora_A.weight`]: { shape: [2, hiddenSize], values: values(2 * hiddenSize) },
      [`${prefix}.lora_B.weight`]: { shape: [hiddenSize, 2], values: values(2 * hiddenSize) },
    },
  );
}

/** An adapter folder of test/fixtures, for example `tiny-adapters/qv-r8`. */
export function fixtureAdapter(folder: string): AdapterFilePair {
  return {
    config: readFileSync(fixturePath(`${folder}/adapter_config.json`)),
    tensors: readFileSync(fixturePath(`${folder}/adapter_model.safetensors`)),
  };
}
