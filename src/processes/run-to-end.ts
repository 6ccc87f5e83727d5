// A child with one piece of work: started, listened to, and gone by itself. Nobody starts it again.
import { Child, type ChildCommand } from './child.ts';

/** Answers how the child ended, once all its messages have arrived: `exited with code 0`. */
export function runToEnd<FromChild>(command: ChildCommand, onMessage: (message: FromChild) => void): Promise<string> {
  return new Promise((resolve) => void new Child<never, FromChild>(command, { message: onMessage, gone: resolve }));
}
