// The child's half: opens something once, then answers one question at a time. Questions come as JSON lines on stdin.
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describeError } from '../../../src/core/index.ts';
import { ANSWER_DESCRIPTOR, type FromChild } from './protocol.ts';

/** Options come as JSON on the command line. The process ends when its parent closes stdin. */
export async function serveChild<Options, Question, Answer>(
  open: (options: Options) => Promise<(question: Question) => Promise<Answer>>,
): Promise<void> {
  const send = (message: FromChild<Answer>): void => void writeSync(ANSWER_DESCRIPTOR, `${JSON.stringify(message)}\n`);
  try {
    const answer = await open(JSON.parse(process.argv[2] ?? '{}') as Options);
    send({ kind: 'ready' });
    for await (const line of createInterface({ input: process.stdin })) {
      send({ kind: 'answer', answer: await answer(JSON.parse(line) as Question) });
    }
  } catch (error) {
    send({ kind: 'failed', message: describeError(error) });
  }
  // Native threads of an engine would otherwise keep the process.
  process.exit(0);
}
