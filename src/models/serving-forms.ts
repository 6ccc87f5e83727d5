// Which compiled forms of a base a server needs: one to decode with, and sometimes a float32 one for long prefill calls. Pure policy.
import { totalmem } from 'node:os';
import { llamaCheckpointTensors } from '../architectures/index.ts';
import { AppError, hasInt8DotProduct, processorFlags } from '../core/index.ts';
import type { Precision } from './compiled-model.ts';
import type { ModelPackage } from './model-package.ts';

/** As the settings spell them. */
export interface WantedForms {
  readonly precision: 'auto' | 'w8a8' | Precision;
  readonly prefillPrecision: 'auto' | 'same' | 'fp32';
}

export interface ServingForms {
  readonly decode: Precision;
  /** null: prefill runs on the decode form. */
  readonly prefill: Precision | null;
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

/** @throws AppError `usage` for a precision that cannot be served. */
export function checkedPrecision({ precision }: Pick<WantedForms, 'precision'>): Precision {
  if (precision === 'w8a8') {
    throw new AppError('usage', 'precision: got "w8a8", which this build cannot run yet; expected auto, fp32, int8 or int4', {
      param: 'precision',
    });
  }
  return precision === 'auto' ? 'int8' : precision;
}

/** @throws AppError `usage` for a precision that cannot be served. */
export function servingForms(wanted: WantedForms, float32Bytes: number, machine: Machine): ServingForms {
  const decode = checkedPrecision(wanted);
  if (decode === 'fp32') return { decode, prefill: null };
  switch (wanted.prefillPrecision) {
    case 'same':
      return { decode, prefill: null };
    case 'fp32':
      return { decode, prefill: 'fp32' };
    case 'auto': {
      // Block-wise int8 products without VNNI reach about two thirds of float32's speed in long calls.
      const pays = !machine.hasInt8DotProduct && float32Bytes <= machine.memoryBytes * PREFILL_MEMORY_SHARE;
      return { decode, prefill: pays ? 'fp32' : null };
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
