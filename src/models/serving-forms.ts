// Which compiled forms of a base a server needs: one for calls of few tokens, and sometimes a second one for calls of many. Pure policy.
import { llamaCheckpointTensors } from '../architectures/index.ts';
import { hasInt8DotProduct, hasInt8Tiles, machineMemory, processorFlags } from '../core/index.ts';
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
  /** For calls of many tokens, of one row or of several; null: they run on the other form. */
  readonly second: Extract<Precision, 'fp32' | 'w8a8'> | null;
  /** Of both forms, which share the cache. */
  readonly kv: KvPrecision;
}

export interface Machine {
  readonly hasInt8DotProduct: boolean;
  readonly hasInt8Tiles: boolean;
  readonly memoryBytes: number;
}

/** `auto` takes a float32 form only while its weights stay below this share of the memory. */
const FLOAT32_MEMORY_SHARE = 1 / 8;
/** And a w8a8 one while calibration, which holds the weights in float32 and packed once more, stays well inside. */
const CALIBRATED_MEMORY_SHARE = 1 / 4;

export function thisMachine(): Machine {
  const flags = processorFlags();
  return { hasInt8DotProduct: hasInt8DotProduct(flags), hasInt8Tiles: hasInt8Tiles(flags), memoryBytes: machineMemory() };
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
  // In long calls block-wise int8 products reach two thirds of float32's speed on processors without int8 dot products, and three quarters or less
  // of w8a8's with them. w8a8's own products are as fast as float32's in long calls, in a sixth of the memory.
  if (decode === 'fp32' || (decode === 'w8a8' && wanted === 'auto')) return null;
  switch (wanted) {
    case 'same':
      return null;
    case 'fp32':
      return 'fp32';
    case 'auto': {
      const [form, share] = machine.hasInt8DotProduct
        ? (['w8a8', CALIBRATED_MEMORY_SHARE] as const)
        : (['fp32', FLOAT32_MEMORY_SHARE] as const);
      return float32Bytes <= machine.memoryBytes * share ? form : null;
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
