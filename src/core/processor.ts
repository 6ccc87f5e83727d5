// What this machine's processor can do, as the kernel names it. Linux only; elsewhere nothing is known.
import { readFileSync } from 'node:fs';

/** Feature flags of a /proc/cpuinfo text: `flags` on x86, `Features` on ARM. */
export function parseProcessorFlags(cpuInfo: string): ReadonlySet<string> {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo)?.[1] ?? '';
  return new Set(line.split(/\s+/).filter((flag) => flag !== ''));
}

/** Empty where nothing is known. */
export function processorFlags(): ReadonlySet<string> {
  try {
    return parseProcessorFlags(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return new Set();
  }
}

const INT8_DOT_PRODUCT = ['avx512_vnni', 'avx_vnni', 'amx_int8', 'asimddp'];

/** Whether the processor multiplies int8 tiles (Intel AMX), for which ONNX Runtime has kernels of whole products in integers, not of blocks. */
export function hasInt8Tiles(flags: ReadonlySet<string>): boolean {
  return flags.has('amx_int8');
}

/** Whether int8 products have instructions of their own; without them float32 is the faster arithmetic. Unknown processors count as able. */
export function hasInt8DotProduct(flags: ReadonlySet<string>): boolean {
  return flags.size === 0 || INT8_DOT_PRODUCT.some((flag) => flags.has(flag));
}
