// The streamed answer of /v1/completions: one chunk for each token that shows something, then usage if asked, then [DONE].
import type { Prompt } from '../../generation/prompt.ts';
import { mergeEvents } from '../../generation/merge-events.ts';
import type { ChoiceEvent } from '../../generation/choice.ts';
import type { GenerationSession } from '../../generation/session.ts';
import { sseData } from '../../sse.ts';
import { finishReason, STREAM_DONE, usageOf } from './answer-fields.ts';
import { logprobsWriter, type CompletionCall } from './completions-call.ts';
import type { CompletionLogprobs, CompletionLogprobsWriter } from './logprobs.ts';

interface ChoiceStream {
  readonly prompt: Prompt;
  readonly writer: CompletionLogprobsWriter;
  isEchoed: boolean;
}

interface Piece {
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly finish_reason: 'stop' | 'length' | null;
}

/** Closes the session when it ends, however it ends. */
export async function* streamCompletion(call: CompletionCall, session: GenerationSession): AsyncGenerator<string> {
  const { prompts, body, n } = call;
  const frame = chunkFramer(call);
  try {
    const streams = prompts.flatMap((prompt) =>
      Array.from({ length: n }, () => ({ prompt, writer: logprobsWriter(call, prompt), isEchoed: false })),
    );
    for await (const { index, event } of mergeEvents(session.choices)) {
      if (event.kind === 'token') session.countToken();
      const stream = streams[index];
      if (stream !== undefined) for (const piece of piecesOf(call, stream, event)) yield frame(index, piece);
    }
    if (body.max_tokens === 0)
      for (const index of streams.keys()) yield frame(index, { text: '', logprobs: null, finish_reason: 'length' });
    const promptTokens = prompts.reduce((total, prompt) => total + prompt.tokenIds.length, 0);
    if (body.stream_options?.include_usage === true) {
      yield sseData({ ...call.head, object: 'text_completion', choices: [], usage: usageOf(promptTokens, session) });
    }
    yield STREAM_DONE;
  } finally {
    session.close();
  }
}

function chunkFramer(call: CompletionCall): (index: number, piece: Piece) => string {
  const usage = call.body.stream_options?.include_usage === true ? { usage: null } : {};
  return (index, piece) => sseData({ ...call.head, object: 'text_completion', choices: [{ index, ...piece }], ...usage });
}

function* piecesOf(call: CompletionCall, stream: ChoiceStream, event: ChoiceEvent): Generator<Piece> {
  const { body } = call;
  const wantsLogprobs = body.logprobs !== undefined;
  if (body.echo === true && !stream.isEchoed) {
    stream.isEchoed = true;
    const values = event.kind === 'prompt' ? event.logprobs : [];
    yield {
      text: stream.prompt.text,
      logprobs: wantsLogprobs ? stream.writer.prompt(stream.prompt, values) : null,
      finish_reason: null,
    };
  }
  if (event.kind === 'prompt') return;
  const logprobs = wantsLogprobs ? stream.writer.token(event.tokenId, event.logprob) : null;
  if (event.text === '' && logprobs === null && event.end === null) return;
  yield { text: event.text, logprobs, finish_reason: event.end === null ? null : finishReason(event.end) };
}
