// `lorikeet train`: training jobs of a running server.
import { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { trainListCommand } from './list.ts';
import { trainStartCommand } from './start.ts';
import { trainSteerCommand } from './steer.ts';
import { trainSweepCommand } from './sweep.ts';
import { trainWatchCommand } from './watch.ts';

export function trainCommand(context: CommandContext): Command {
  return new Command('train')
    .description('train adapters on a running server, and follow and steer its training jobs')
    .addCommand(trainStartCommand(context))
    .addCommand(trainListCommand(context))
    .addCommand(trainWatchCommand(context))
    .addCommand(trainSteerCommand(context, 'cancel'))
    .addCommand(trainSteerCommand(context, 'pause'))
    .addCommand(trainSteerCommand(context, 'resume'))
    .addCommand(trainSweepCommand(context));
}
