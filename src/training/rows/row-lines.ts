// Bytes of a training file → its lines, so that both processes count lines alike. Holds one line at a time, however long the file is.
import { ROW_LIMITS, type RowProblem, rowProblem } from './row.ts';

export interface RowLine {
  /** From 1, as editors count; blank lines count and are not given. */
  readonly number: number;
  readonly line: string | RowProblem;
}

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = '\uFEFF';

/** Lines that are not blank. A line that is too long or not UTF-8 comes as a problem; the rest of the file is read on. */
export async function* rowLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<RowLine> {
  const pending = new PendingLine();
  let number = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      pending.add(chunk.subarray(start, end < 0 ? chunk.length : end));
      if (end < 0) break;
      start = end + 1;
      number += 1;
      yield* lineOf(number, pending.take());
    }
  }
  yield* lineOf(number + 1, pending.take());
}

function* lineOf(number: number, taken: string | RowProblem): Generator<RowLine> {
  if (typeof taken !== 'string') {
    yield { number, line: taken };
    return;
  }
  const line = number === 1 && taken.startsWith(BYTE_ORDER_MARK) ? taken.slice(1) : taken;
  if (line.trim() !== '') yield { number, line };
}

/** The bytes of one line so far; of a line that is too long only their number. */
class PendingLine {
  #parts: Uint8Array[] = [];
  #byteLength = 0;

  add(bytes: Uint8Array): void {
    this.#byteLength += bytes.byteLength;
    if (this.#byteLength > ROW_LIMITS.lineBytes) this.#parts = [];
    else if (bytes.byteLength > 0) this.#parts.push(bytes);
  }

  take(): string | RowProblem {
    const [parts, byteLength] = [this.#parts, this.#byteLength];
    this.#parts = [];
    this.#byteLength = 0;
    if (byteLength > ROW_LIMITS.lineBytes)
      return rowProblem(null, `got a line of ${byteLength} bytes, expected at most ${ROW_LIMITS.lineBytes}`);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
    } catch {
      return rowProblem(null, 'got bytes that are not valid UTF-8');
    }
  }
}
