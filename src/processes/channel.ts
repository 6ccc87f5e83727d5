// The child's end of a process channel: typed messages over Node's IPC. The parent's end is the supervisor.

export interface ParentChannel<ToChild, FromChild> {
  /** Lost without an error when the parent has gone. */
  send(message: FromChild): void;
  onMessage(listener: (message: ToChild) => void): void;
  /** Lets the process end by itself: stops listening once all sent messages are handed over. */
  close(): void;
}

/**
 * Connects to the parent that forked this process. A child ends when its parent says so or has gone, and only then: signals that a
 * terminal or service manager sends to the whole group (SIGINT, SIGTERM) are left to the parent, which drains first.
 * @throws Error when the process was not forked with a channel.
 */
export function connectToParent<ToChild, FromChild extends object>(): ParentChannel<ToChild, FromChild> {
  if (process.send === undefined) throw new Error('this process has no parent channel; it is started by the server, not by hand');
  let unsent = 0;
  let closing = false;
  const disconnectWhenSent = (): void => {
    if (closing && unsent === 0 && process.connected) process.disconnect();
  };
  process.once('disconnect', () => {
    if (!closing) process.exit(0);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  return {
    send: (message) => {
      if (!process.connected) return;
      unsent += 1;
      process.send?.(message, undefined, undefined, () => {
        unsent -= 1;
        disconnectWhenSent();
      });
    },
    onMessage: (listener) => void process.on('message', (message) => listener(message as ToChild)),
    close: () => {
      closing = true;
      disconnectWhenSent();
    },
  };
}
