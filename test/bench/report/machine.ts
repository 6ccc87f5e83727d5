// What a figure was measured on: without it a figure says nothing.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Machine {
  readonly processor: string;
  readonly coreCount: number;
  /** Instruction sets that decide which kernels run. */
  readonly instructionSets: readonly string[];
  readonly memoryGib: number;
  readonly node: string;
  readonly onnxruntime: string;
  readonly llamaCppBinding: string;
  readonly measuredAt: string;
}

const DECISIVE_FLAGS = ['avx2', 'f16c', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx_vnni', 'amx_int8'];

export function describeMachine(): Machine {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readText('/proc/cpuinfo'))?.[1]?.trim().split(' '));
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    coreCount: availableParallelism(),
    instructionSets: DECISIVE_FLAGS.filter((flag) => flags.has(flag)),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    node: process.version,
    onnxruntime: packageVersion('onnxruntime-node'),
    llamaCppBinding: packageVersion('node-llama-cpp'),
    measuredAt: new Date().toISOString(),
  };
}

export function machineLine({ processor, coreCount, instructionSets, memoryGib, node, onnxruntime, llamaCppBinding }: Machine): string {
  return `${processor}, ${coreCount} cores (${instructionSets.join(' ')}), ${memoryGib} GiB; Node ${node}, onnxruntime-node ${onnxruntime}, node-llama-cpp ${llamaCppBinding}`;
}

function packageVersion(name: string): string {
  const manifest = readText(join(import.meta.dirname, '..', '..', '..', 'node_modules', name, 'package.json'));
  return manifest === '' ? 'not installed' : (JSON.parse(manifest) as { readonly version: string }).version;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
