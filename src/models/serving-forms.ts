// Which compiled forms of a base a server needs: one to decode with, and sometimes a float32 one for long prefill calls. Pure policy.
import { totalmem } from 'node:os';
import { llamaCheckpointTensors } from '../architectures/index.ts';
import { hasInt8DotProduct, processorFlags } from '../core/index.ts';
import type { KvPrecision, Precision } from './compiled-model.ts';
import type { ModelPackage } from './model-package.ts';

/** As the settings spell them. */
export interface WantedForms {
  readonly precision: 'auto' | Precision;
  readonly prefillPrecision: 'auto' | 'same' | 'fp32';
  readonly kvPrecision: KvPrecision;
}

export interface ServingForms {
  readonly decode: Precision;
  /** null: prefill runs on the decode form. */
  readonly prefill: Precision | null;
  /** Of both forms, which share the cache. */
  readonly kv: KvPrecision;
}

export interface Machine {
  readonly hasInt8DotProduct: boolean;
  readonly memoryBytes: number;
}

/** `auto` takes a float32 prefill form only while its weights stay below this share of the memory. */
const PREFILL_MEMORY_SHARE = 1 / 8;

export function thisMachine(): Machine {
  return { hasInt8DotProduct: hasInt8DotProduct(processorFlags()), memoryBytes: totalmem() };
}

export function servingForms(wanted: WantedForms, float32Bytes: number, machine: Machine): ServingForms {
  const decode = wanted.precision === 'auto' ? 'int8' : wanted.precision;
  return { decode, prefill: prefillForm(decode, wanted.prefillPrecision, float32Bytes, machine), kv: wanted.kvPrecision };
}

function prefillForm(
  decode: Precision,
  wanted: WantedForms['prefillPrecision'],
  float32Bytes: number,
  machine: Machine,
): ServingForms['prefill'] {
  // w8a8's own products are as fast as float32's in long calls, in a sixth of the memory.
  if (decode === 'fp32' || (decode === 'w8a8' && wanted === 'auto')) return null;
  switch (wanted) {
    case 'same':
      return null;
    case 'fp32':
      return 'fp32';
    case 'auto': {
      // Block-wise int8 products without VNNI reach about two thirds of float32's speed in long calls.
      const pays = !machine.hasInt8DotProduct && float32Bytes <= machine.memoryBytes * PREFILL_MEMORY_SHARE;
      return pays ? 'fp32' : null;
    }
  }
}

/** The forms for this machine. */
export function formsOf(model: ModelPackage, wanted: WantedForms): ServingForms {
  const values = llamaCheckpointTensors(model.config).reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );
  return servingForms(wanted, values * Float32Array.BYTES_PER_ELEMENT, thisMachine());
}
