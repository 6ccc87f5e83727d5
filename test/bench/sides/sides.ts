// Who is measured. A peer that cannot be had or does not run here stays in the table with its reason.
import { join } from 'node:path';
import { pythonWith } from '../peers/environment.ts';
import { type Child, type ChildCommand, engineCommand, startChild } from './child.ts';
import type { Answer, SideOptions, Workload } from './protocol.ts';

const PEERS = join(import.meta.dirname, '..', 'peers');

export interface Side {
  readonly name: string;
  readonly isOurs: boolean;
  readonly precision: string;
  /** How it holds weights, in words. */
  readonly weights: string;
  measure(workload: Workload): Promise<Answer>;
  stop(): Promise<void>;
}

interface PythonPeer {
  readonly name: string;
  readonly weights: string;
  readonly packages: string;
  readonly complete: boolean;
  readonly file: string;
}

const PYTHON_PEERS: readonly PythonPeer[] = [
  { name: 'OpenVINO GenAI', weights: 'as in the file', packages: 'openvino', complete: false, file: 'openvino_side.py' },
  { name: 'llama.cpp built here', weights: 'as in the file', packages: 'llama-cpp', complete: false, file: 'llama_cpp_side.py' },
  { name: 'vLLM CPU', weights: 'fp32', packages: 'vllm', complete: true, file: 'vllm_side.py' },
  { name: 'vLLM CPU, adapters', weights: 'fp32', packages: 'vllm', complete: true, file: 'vllm_adapters_side.py' },
  { name: 'PEFT, torch', weights: 'fp32', packages: 'peft', complete: false, file: 'peft_side.py' },
];

export async function startSides(
  options: Omit<SideOptions, 'precision'>,
  precisions: readonly string[],
  withPeers: boolean,
): Promise<Side[]> {
  const sides: Side[] = [];
  for (const precision of precisions) {
    const name = `ours ${precision}`;
    const command = engineCommand(join(import.meta.dirname, 'ours.ts'));
    const child = await startChild<Workload, Answer>(name, command, { ...options, precision });
    sides.push({
      name,
      isOurs: true,
      precision,
      weights: precision,
      measure: (workload) => child.ask(workload),
      stop: () => child.stop(),
    });
  }
  sides.push(
    await startPeer('llama.cpp (node)', 'as in the file', options, async () => engineCommand(join(import.meta.dirname, 'llama-cpp.ts'))),
  );
  for (const peer of withPeers ? PYTHON_PEERS : []) {
    const { name, weights, packages, complete, file } = peer;
    const command = async (): Promise<ChildCommand> => ({
      executable: await pythonWith({ name: packages, requirements: join(PEERS, 'requirements', `${packages}.txt`), complete }),
      args: [join(PEERS, file)],
      environment: { OMP_NUM_THREADS: String(options.threadCount) },
    });
    sides.push(await startPeer(name, weights, options, command));
  }
  return sides;
}

async function startPeer(
  name: string,
  weights: string,
  options: Omit<SideOptions, 'precision'>,
  command: () => Promise<ChildCommand>,
): Promise<Side> {
  const known = { name, isOurs: false, precision: 'file', weights };
  let child: Child<Workload, Answer> | null = null;
  let given: string | null = null;
  const giveUp = (error: unknown): string => {
    given = `does not run here: ${shortReason(error)}`;
    console.log(`${name} ${given}`);
    child = null;
    return given;
  };
  try {
    child = await startChild<Workload, Answer>(name, await command(), { ...options, precision: 'file' });
  } catch (error) {
    giveUp(error);
  }
  return {
    ...known,
    async measure(workload) {
      if (!child) return { kind: 'cannot', reason: given ?? 'stopped' };
      return child.ask(workload).catch((error: unknown) => ({ kind: 'cannot', reason: giveUp(error) }) as const);
    },
    async stop() {
      await child?.stop();
    },
  };
}

/** The last line says what went wrong; those above it say where. */
function shortReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
}
