// The trainer process's side of messages.ts: one job at a time, answers between micro-batches, failures as messages with safe texts.
import { isAppError, type Logger } from '../../core/index.ts';
import type { FromTrainer, JobOrder, ToTrainer } from '../messages.ts';
import { Interrupted, Interruption } from './interruption.ts';
import { type JobPorts, runJob } from './job.ts';

export interface TrainerChannel {
  send(message: FromTrainer): void;
  onMessage(listener: (message: ToTrainer) => void): void;
}

export interface HostOptions {
  readonly logger: Logger;
  /** Called once after `shutdown`, when nothing runs any more. */
  readonly onShutdown: () => void;
}

/** Listens until it is told to shut down. The first message that it sends is `ready`. */
export function hostTrainer(channel: TrainerChannel, ports: JobPorts, { logger, onShutdown }: HostOptions): void {
  let running: { readonly order: JobOrder; readonly interruption: Interruption } | null = null;
  let isShuttingDown = false;

  const start = async (order: JobOrder): Promise<void> => {
    if (running !== null || isShuttingDown) {
      const message = running === null ? 'the trainer is shutting down' : 'the trainer has a job already';
      channel.send({ kind: 'failed', jobId: order.jobId, fence: order.fence, code: 'conflict', message });
      return;
    }
    running = { order, interruption: new Interruption() };
    const ending = await attempt(order, running.interruption, { channel, ports, logger });
    // Whoever hears of the end may send the next job.
    running = null;
    if (ending !== null) channel.send(ending);
    if (isShuttingDown) onShutdown();
  };

  const receive = (message: ToTrainer): void => {
    switch (message.kind) {
      case 'start':
        void start(message.order);
        return;
      case 'pause':
      case 'cancel':
        if (running?.order.jobId === message.jobId) running.interruption.ask(message.kind);
        return;
      case 'ping':
        channel.send({ kind: 'pong' });
        return;
      case 'shutdown':
        isShuttingDown = true;
        if (running === null) onShutdown();
        else running.interruption.ask('shutdown');
    }
  };
  channel.onMessage(receive);
  channel.send({ kind: 'ready' });
}

interface Surroundings {
  readonly channel: TrainerChannel;
  readonly ports: JobPorts;
  readonly logger: Logger;
}

/** Never rejects: answers the message that says how the attempt ended. After a shutdown there is none: the job waits for its next attempt. */
async function attempt(order: JobOrder, { turn }: Interruption, { channel, ports, logger }: Surroundings): Promise<FromTrainer | null> {
  const { jobId, fence } = order;
  let durableStep = 0;
  try {
    const result = await runJob(order, ports, {
      turn,
      started: (totalSteps, resumedFromStep) => channel.send({ kind: 'started', jobId, fence, totalSteps, resumedFromStep }),
      step: (metrics) => channel.send({ kind: 'step', jobId, fence, metrics }),
      checkpoint: (step, validLoss) => channel.send({ kind: 'checkpoint', jobId, fence, step, validLoss }),
      durable: (step) => (durableStep = step),
    });
    return { kind: 'finished', jobId, fence, result };
  } catch (error) {
    if (error instanceof Interrupted) {
      return error.wish === 'shutdown' ? null : { kind: error.wish === 'pause' ? 'paused' : 'cancelled', jobId, fence, step: durableStep };
    }
    logger.error({ err: error, jobId, fence }, 'the job failed');
    if (isAppError(error)) return { kind: 'failed', jobId, fence, code: error.code, message: error.message };
    return { kind: 'failed', jobId, fence, code: 'internal', message: "the trainer failed; the server's log says why" };
  }
}
