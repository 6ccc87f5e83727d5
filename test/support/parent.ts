// A parent process that forks test/support/child.ts, tells its pid on standard output and waits to be killed.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), ['normal'], {
  serialization: 'advanced',
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
});
child.once('message', () => {
  process.stdout.write(`${child.pid}\n`);
});
