// The peer, in a process of its own: llama.cpp as node-llama-cpp ships it, on the CPU, the same file, prompts, threads and greedy choice.
import { getLlama, LlamaLogLevel, type LlamaModel, type Token } from 'node-llama-cpp';
import { openSubject, sourceFile } from '../subject.ts';
import type { SideOptions, Workload } from './protocol.ts';
import { type Measurement, serveSide, type Side } from './serve-side.ts';

async function openPeer({ threadCount, capacity }: SideOptions): Promise<Side> {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threadCount, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: sourceFile(await openSubject()) });
  return {
    measure: (workload) =>
      workload.kind === 'prefill' ? prefill(model, threadCount, capacity, workload) : decode(model, threadCount, capacity, workload),
  };
}

// node-llama-cpp's branded number; it offers no function that makes one.
function asTokens(tokenIds: readonly number[]): Token[] {
  return tokenIds as readonly Token[] as Token[];
}

/** Contexts are made outside of the timed part; a batch holds all prompts of all rows. */
async function openContext(model: LlamaModel, threadCount: number, contextSize: number, rowCount: number) {
  return model.createContext({ contextSize, sequences: rowCount, batchSize: contextSize * rowCount, threads: threadCount });
}

async function prefill(
  model: LlamaModel,
  threadCount: number,
  capacity: number,
  workload: Workload & { kind: 'prefill' },
): Promise<Measurement> {
  const { prompt, repeats } = workload;
  const context = await openContext(model, threadCount, capacity, 1);
  const sequence = context.getSequence();
  let elapsedMs = 0;
  for (let repeat = -1; repeat < repeats; repeat++) {
    await sequence.clearHistory();
    const startedMs = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(asTokens(prompt));
    if (repeat >= 0) elapsedMs += performance.now() - startedMs;
  }
  await context.dispose();
  return { tokensPerSecond: (prompt.length * repeats * 1000) / elapsedMs, firstRowTokenIds: [] };
}

async function decode(
  model: LlamaModel,
  threadCount: number,
  capacity: number,
  workload: Workload & { kind: 'decode' },
): Promise<Measurement> {
  const { prompts, warmUpTokens, timedTokens } = workload;
  const context = await openContext(model, threadCount, capacity, prompts.length);
  const rows = prompts.map((prompt) => ({ sequence: context.getSequence(), prompt: asTokens(prompt) }));
  for (const { sequence, prompt } of rows) await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
  // Temperature 0 is greedy; tokens that would end an answer are passed on, so that every row goes on.
  const streams = rows.map(({ sequence, prompt }) => sequence.evaluate(prompt.slice(-1), { temperature: 0, yieldEogToken: true }));
  const take = async (count: number): Promise<number[][]> =>
    Promise.all(
      streams.map(async (stream) => {
        const tokenIds: number[] = [];
        for (let taken = 0; taken < count; taken++) {
          const { value, done } = await stream.next();
          if (done === true || value === undefined) throw new Error('llama.cpp stopped before all tokens were produced');
          tokenIds.push(value);
        }
        return tokenIds;
      }),
    );
  const [first = []] = await take(1 + warmUpTokens);
  const startedMs = performance.now();
  const [rest = []] = await take(timedTokens);
  const elapsedMs = performance.now() - startedMs;
  await context.dispose();
  return { tokensPerSecond: (prompts.length * timedTokens * 1000) / elapsedMs, firstRowTokenIds: [...first, ...rest] };
}

await serveSide(openPeer);
