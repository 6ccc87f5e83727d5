// The process's side of one grammar thread: starts it when a constraint is opened, ends it when it hangs, dies or has grown too large.
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { threadScript } from '../../core/index.ts';
import type { Grammar } from './grammar.ts';
import type { FromGrammarThread, GrammarThreadData, ToGrammarThread } from './thread-messages.ts';

/** Which tokens may come next in one output. */
export interface ThreadConstraint {
  /** `working`: the mask after the latest token is being made. */
  readonly state: 'working' | 'ready' | 'failed';
  /** Bit id % 32 of word id / 32 is set when that token may come next. Only while ready. */
  readonly mask: Int32Array;
  /** Why it failed: something about the grammar, or null when its thread was lost for another reason. Only when failed. */
  readonly problem: string | null;
  accept(tokenId: number): void;
  close(): void;
}

export interface GrammarThreadOptions {
  /** File of the thread, which calls `serveGrammars`. */
  readonly entry: string;
  /** Handed to the entry file, to find its vocabulary. */
  readonly model: unknown;
  /** A thread that owes answers and gives none for so long is ended; what was open fails. */
  readonly silenceMs: number;
  /** Told what ended a thread that was not asked to end. */
  readonly onLost: (error: unknown) => void;
}

/** WebAssembly never gives memory back: a thread that has grown so far is ended when nothing is open. */
const RECYCLE_BYTES = 256 * 1024 ** 2;

interface Life {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly answers: Int32Array;
  readonly open: Map<number, Constraint>;
  memoryBytes: number;
  watchdog: NodeJS.Timeout | null;
}

export class GrammarThread {
  readonly #options: GrammarThreadOptions;
  #life: Life | null = null;
  #nextId = 0;
  #changed: () => void = () => undefined;

  constructor(options: GrammarThreadOptions) {
    this.#options = options;
  }

  /** Called after a constraint became ready or failed outside of `settle`. One listener. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /** `owner`: compiled grammars are shared within it only. */
  open(grammar: Grammar, owner: string): ThreadConstraint {
    const life = (this.#life ??= this.#start());
    const id = this.#nextId;
    this.#nextId += 1;
    const send = (message: ToGrammarThread): void => {
      if (this.#life !== life) return;
      life.port.postMessage(message);
      this.#watch(life);
    };
    const constraint = new Constraint({
      accept: (tokenId) => send({ kind: 'accept', id, tokenId }),
      close: () => {
        life.open.delete(id);
        send({ kind: 'close', id });
        this.#recycle(life);
      },
    });
    life.open.set(id, constraint);
    send({ kind: 'open', id, grammar, owner });
    return constraint;
  }

  /** Takes the answers that are there, and waits up to `maxMs` for the others. */
  settle(maxMs: number): void {
    const life = this.#life;
    if (life === null) return;
    const deadline = performance.now() + maxMs;
    for (;;) {
      const seen = Atomics.load(life.answers, 0);
      for (let found = receiveMessageOnPort(life.port); found !== undefined; found = receiveMessageOnPort(life.port))
        this.#receive(life, found.message as FromGrammarThread);
      const remainingMs = deadline - performance.now();
      if (!isWorking(life) || remainingMs <= 0) return;
      Atomics.wait(life.answers, 0, seen, remainingMs);
    }
  }

  /** Ends the thread; what is open fails. */
  stop(): void {
    if (this.#life !== null) this.#end(this.#life, null);
  }

  #start(): Life {
    const { port1, port2 } = new MessageChannel();
    const answers = new SharedArrayBuffer(4);
    const workerData: GrammarThreadData = { port: port2, answers, model: this.#options.model };
    const worker = new Worker(threadScript(this.#options.entry), { eval: true, workerData, transferList: [port2] });
    const life: Life = { worker, port: port1, answers: new Int32Array(answers), open: new Map(), memoryBytes: 0, watchdog: null };
    port1.on('message', (message: FromGrammarThread) => {
      this.#receive(life, message);
      this.#changed();
    });
    // It never keeps its process alive.
    port1.unref();
    worker.unref();
    worker.on('error', (error) => {
      this.#options.onLost(error);
      this.#end(life, null);
    });
    worker.on('exit', () => this.#end(life, null));
    return life;
  }

  #receive(life: Life, message: FromGrammarThread): void {
    life.memoryBytes = message.memoryBytes;
    if (life.watchdog !== null) clearTimeout(life.watchdog);
    life.watchdog = null;
    life.open.get(message.id)?.take(message);
    this.#watch(life);
    this.#recycle(life);
  }

  #watch(life: Life): void {
    if (life.watchdog !== null || !isWorking(life)) return;
    life.watchdog = setTimeout(() => this.#end(life, 'it takes too long to compile'), this.#options.silenceMs).unref();
  }

  #recycle(life: Life): void {
    if (life.open.size === 0 && life.memoryBytes > RECYCLE_BYTES) this.#end(life, null);
  }

  #end(life: Life, problem: string | null): void {
    if (this.#life !== life) return;
    this.#life = null;
    if (life.watchdog !== null) clearTimeout(life.watchdog);
    life.port.close();
    void life.worker.terminate();
    for (const constraint of life.open.values()) constraint.fail(problem);
    life.open.clear();
    this.#changed();
  }
}

function isWorking(life: Life): boolean {
  return [...life.open.values()].some(({ state }) => state === 'working');
}

class Constraint implements ThreadConstraint {
  readonly #link: { readonly accept: (tokenId: number) => void; readonly close: () => void };
  #state: ThreadConstraint['state'] = 'working';
  #mask: Int32Array = new Int32Array(0);
  #problem: string | null = null;

  constructor(link: { readonly accept: (tokenId: number) => void; readonly close: () => void }) {
    this.#link = link;
  }

  get state(): ThreadConstraint['state'] {
    return this.#state;
  }

  get mask(): Int32Array {
    if (this.#state !== 'ready') throw new Error(`a constraint that is ${this.#state} has no mask`);
    return this.#mask;
  }

  get problem(): string | null {
    return this.#problem;
  }

  accept(tokenId: number): void {
    if (this.#state === 'failed') return;
    this.#state = 'working';
    this.#link.accept(tokenId);
  }

  close(): void {
    this.#link.close();
  }

  take(message: FromGrammarThread): void {
    if (message.kind === 'failed') return this.fail(message.problem);
    this.#state = 'ready';
    this.#mask = message.mask;
  }

  fail(problem: string | null): void {
    this.#state = 'failed';
    this.#problem = problem;
  }
}
