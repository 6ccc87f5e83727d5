// llama.cpp as node-llama-cpp ships it, on the CPU: the same file, prompts, threads and greedy choice as every side.
import { getLlama, LlamaLogLevel, type LlamaModel, type Token } from 'node-llama-cpp';
import type { Answer, DecodeWorkload, PrefillWorkload, SideOptions, Workload } from './protocol.ts';
import { serveChild } from './serve-child.ts';

/** Positions of a row besides its prompt. */
const SPARE_POSITIONS = 128;

await serveChild<SideOptions, Workload, Answer>(async ({ modelFile, threadCount }) => {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threadCount, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: modelFile });
  return async (workload) => (workload.kind === 'prefill' ? prefill(model, threadCount, workload) : decode(model, threadCount, workload));
});

// node-llama-cpp's branded number; it offers no function that makes one.
function asTokens(tokenIds: readonly number[]): Token[] {
  return tokenIds as readonly Token[] as Token[];
}

/** Contexts are made outside of the timed part; a batch holds all prompts of all rows. */
async function openContext(model: LlamaModel, threadCount: number, promptLength: number, rowCount: number) {
  const contextSize = promptLength + SPARE_POSITIONS;
  return model.createContext({ contextSize, sequences: rowCount, batchSize: contextSize * rowCount, threads: threadCount });
}

async function prefill(model: LlamaModel, threadCount: number, { prompt, repeats }: PrefillWorkload): Promise<Answer> {
  const context = await openContext(model, threadCount, prompt.length, 1);
  const sequence = context.getSequence();
  let elapsedMs = 0;
  for (let repeat = -1; repeat < repeats; repeat++) {
    await sequence.clearHistory();
    const startedMs = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(asTokens(prompt));
    if (repeat >= 0) elapsedMs += performance.now() - startedMs;
  }
  await context.dispose();
  return { kind: 'measured', tokensPerSecond: (prompt.length * repeats * 1000) / elapsedMs, firstRowTokenIds: [] };
}

async function decode(model: LlamaModel, threadCount: number, workload: DecodeWorkload): Promise<Answer> {
  const { prompts, warmUpTokens, timedTokens, adapters } = workload;
  if (adapters) return { kind: 'cannot', reason: 'node-llama-cpp applies one adapter set to a whole context' };
  const context = await openContext(model, threadCount, prompts[0]?.length ?? 0, prompts.length);
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
  const tokensPerSecond = (prompts.length * timedTokens * 1000) / elapsedMs;
  return { kind: 'measured', tokensPerSecond, firstRowTokenIds: [...first, ...rest] };
}
