// Reads server-sent events as they arrive: the data of each event, comments left out.

/** Ends with the body; rejects when the connection breaks. */
export async function* readEvents(response: Response): AsyncGenerator<string> {
  const { body } = response;
  if (body === null) throw new Error('the answer has no body');
  const decoder = new TextDecoder();
  let pending = '';
  for await (const bytes of body) {
    pending += decoder.decode(bytes as Uint8Array, { stream: true });
    const events = pending.split('\n\n');
    pending = events.pop() ?? '';
    for (const event of events) {
      const data = event
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice('data:'.length).trimStart());
      if (data.length > 0) yield data.join('\n');
    }
  }
}
