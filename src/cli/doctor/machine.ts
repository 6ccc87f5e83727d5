// Checks of the machine itself: Node, processor, memory, disk, Python. They change nothing.
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem } from 'node:os';
import { promisify } from 'node:util';
import { machineMemory, processorFlags } from '../../core/index.ts';
import { formatBytes } from '../output.ts';
import { fail, type Finding, ok, warn } from './check.ts';

const GIB = 1024 ** 3;
const OLDEST_NODE = { major: 20, minor: 19 };
/** The default model with its compiled graphs and the engine's KV memory fit in about this much. */
const SMALLEST_MEMORY_BYTES = 2 * GIB;
/** The default model: download, float32 original and two precisions. */
const SMALLEST_DISK_BYTES = 2 * GIB;
const PYTHON_TIMEOUT_MS = 5000;

export function checkNode(version = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isNewEnough = major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor);
  if (isNewEnough) return ok('node', version);
  return fail('node', version, `install Node.js ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or newer`);
}

/** Instruction sets that the kernels of ONNX Runtime choose from, with the names that Linux gives them. */
const INSTRUCTION_SETS = { AVX2: 'avx2', 'AVX-512': 'avx512f', VNNI: 'avx512_vnni', 'AVX-VNNI': 'avx_vnni', AMX: 'amx_int8' };

export function checkProcessor(flags = processorFlags()): Finding {
  const cores = `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? 'unknown model'}`;
  if (flags.size === 0) return ok('processor', `${cores}; instruction sets unknown on this system`);
  const present = Object.entries(INSTRUCTION_SETS)
    .filter(([, flag]) => flags.has(flag))
    .map(([name]) => name);
  const detail = `${cores}; ${present.length === 0 ? 'no AVX2' : present.join(', ')}`;
  if (!flags.has('avx2')) return warn('processor', detail, 'expect slow answers: the fast kernels need AVX2');
  return ok('processor', detail);
}

export function checkMemory(totalBytes = machineMemory(), freeBytes = freemem()): Finding {
  const detail = `${formatBytes(totalBytes)}, ${formatBytes(freeBytes)} free`;
  if (totalBytes >= SMALLEST_MEMORY_BYTES) return ok('memory', detail);
  return warn('memory', detail, 'lower --kv-cache-bytes and --adapter-host-bytes, or use a larger machine');
}

/** `folder` must exist. */
export async function checkDisk(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const detail = `${formatBytes(bavail * bsize)} free at ${folder}`;
  if (bavail * bsize >= SMALLEST_DISK_BYTES) return ok('disk', detail);
  return warn('disk', detail, 'free some space, or set --models-dir and --data-dir to another disk');
}

/** Python is only the second way to the default model; nothing at run time needs it. */
export async function checkPython(command = 'python3'): Promise<Finding> {
  try {
    const { stdout } = await promisify(execFile)(command, ['-m', 'pip', '--version'], { timeout: PYTHON_TIMEOUT_MS });
    return ok('python3', stdout.trim().split(' ').slice(0, 2).join(' '));
  } catch {
    return warn('python3', 'python3 with pip was not found', 'needed only to fetch the default model where the hub cannot be reached');
  }
}
