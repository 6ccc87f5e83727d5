// A small real child process for the supervisor's tests. Its first argument says how it behaves.
import { connectToParent } from '../../src/processes/index.ts';

type ToChild = { readonly kind: 'ping' | 'shutdown' | 'hang' | 'crash' | 'last-words' };
type FromChild = { readonly kind: 'ready' | 'pong' | 'last-words'; readonly pid: number };

const behaviour = process.argv[2];
const parent = connectToParent<ToChild, FromChild>();
// Holds the process open as a server's work would.
const work = setInterval(() => undefined, 1000);

function hang(): never {
  for (;;);
}

parent.onMessage(({ kind }) => {
  switch (kind) {
    case 'ping':
      parent.send({ kind: 'pong', pid: process.pid });
      return;
    case 'shutdown':
      if (behaviour === 'stubborn') return;
      clearInterval(work);
      parent.send({ kind: 'last-words', pid: process.pid });
      parent.close();
      return;
    case 'hang':
      hang();
      return;
    case 'crash':
      process.exit(3);
      return;
    case 'last-words':
      parent.send({ kind: 'last-words', pid: process.pid });
      parent.close();
      clearInterval(work);
  }
});

if (behaviour === 'never-ready') hang();
parent.send({ kind: 'ready', pid: process.pid });
