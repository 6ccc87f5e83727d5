// Data of the events of a whole event stream, comments left out.

export function readSse(payload: string): string[] {
  expectFramed(payload);
  return payload
    .split('\n\n')
    .flatMap((event) => event.split('\n').filter((line) => line.startsWith('data: ')))
    .map((line) => line.slice('data: '.length));
}

function expectFramed(payload: string): void {
  if (payload !== '' && !payload.endsWith('\n\n')) throw new Error(`the stream ends inside an event: ${payload.slice(-80)}`);
}
