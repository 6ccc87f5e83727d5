// Which compiled forms of a base a server needs: one for calls of few tokens, and sometimes a second one for calls of many. Pure policy.
import { totalmem } from 'node:os';
import { llamaCheckpointTensors } from '../architectures/index.ts';
import { hasInt8DotProduct, processorFlags } from '../core/index.ts';
import type { KvPrecision, Precision, StoredForm } from './compiled-model.ts';
import type { ModelPackage } from './model-package.ts';

/** As the settings spell them. */
export interface WantedForms {
  readonly precision: 'auto' | Precision;
  readonly prefillPrecision: 'auto' | 'same' | 'fp32';
  readonly kvPrecision: KvPrecision;
}

export interface ServingForms {
  readonly decode: Precision;
  /** For calls of many tokens, of one row or of several; null: they run on the other form. */
  readonly second: Extract<StoredForm, 'fp32' | 'int8-rows'> | null;
  /** Of both forms, which share the cache. */
  readonly kv: KvPrecision;
}

export interface Machine {
  readonly hasInt8DotProduct: boolean;
  readonly memoryBytes: number;
}

/** `auto` takes a second form only while its weights stay below this share of the memory. */
const SECOND_FORM_MEMORY_SHARE = 1 / 8;

export function thisMachine(): Machine {
  return { hasInt8DotProduct: hasInt8DotProduct(processorFlags()), memoryBytes: totalmem() };
}

export function servingForms(wanted: WantedForms, float32Bytes: number, machine: Machine): ServingForms {
  const decode = wanted.precision === 'auto' ? 'int8' : wanted.precision;
  return { decode, second: secondForm(decode, wanted.prefillPrecision, float32Bytes, machine), kv: wanted.kvPrecision };
}

function secondForm(
  decode: Precision,
  wanted: WantedForms['prefillPrecision'],
  float32Bytes: number,
  machine: Machine,
): ServingForms['second'] {
  // Block-wise int8 products reach two thirds of float32's speed in long calls without int8 dot products, and two thirds of the speed of products
  // in integers with them (AMX has no other kernels).
  // w8a8's own products are as fast as float32's in long calls, in a sixth of the memory.
  if (decode === 'fp32' || (decode === 'w8a8' && wanted === 'auto')) return null;
  switch (wanted) {
    case 'same':
      return null;
    case 'fp32':
      return 'fp32';
    case 'auto': {
      const [form, bytes] = machine.hasInt8DotProduct ? (['int8-rows', float32Bytes / 4] as const) : (['fp32', float32Bytes] as const);
      return bytes <= machine.memoryBytes * SECOND_FORM_MEMORY_SHARE ? form : null;
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
