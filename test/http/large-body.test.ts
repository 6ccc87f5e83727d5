// A body over the limit, over a real socket: its sender must come to read why it was refused.
import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';

const MIB = 1024 ** 2;

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function connected(): Promise<Socket> {
  const { port } = harness.app.server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1').setEncoding('utf8').pause();
  await once(socket, 'connect');
  return socket;
}

function requestHead(byteLength: number): string {
  return `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${byteLength}\r\n\r\n`;
}

async function send(socket: Socket, data: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

/** Head and body of the next answer, which comes in one piece because it is small. */
async function nextAnswer(socket: Socket): Promise<string> {
  const answer = once(socket.resume(), 'data');
  return String((await answer)[0]);
}

describe('a body over the limit', () => {
  it('is read to its end, so that a client that sends first and reads then gets the answer, and the connection lives on', async () => {
    const socket = await connected();
    await send(socket, requestHead(9 * MIB));
    for (let sent = 0; sent < 9; sent += 1) await send(socket, new Uint8Array(MIB));
    const refusal = await nextAnswer(socket);
    expect(refusal).toMatch(/^HTTP\/1\.1 413 /);
    expect(refusal).toContain('the body is larger than 8MiB');
    await send(socket, `${requestHead(2)}{}`);
    expect(await nextAnswer(socket)).toMatch(/^HTTP\/1\.1 400 /);
    socket.destroy();
  });

  it('that is far larger is refused at once, and the connection closed', async () => {
    const socket = await connected();
    await send(socket, requestHead(1e12));
    const refusal = await nextAnswer(socket);
    expect(refusal).toMatch(/^HTTP\/1\.1 413 /);
    expect(refusal.toLowerCase()).toContain('connection: close');
    socket.destroy();
  });
});
