// `lorikeet adapters`: the adapters of a running server, and what is made of them.
import { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { adaptersActivateCommand } from './activate.ts';
import { adaptersBakeCommand } from './bake.ts';
import { adaptersCompareCommand } from './compare.ts';
import { adaptersInspectCommand } from './inspect.ts';
import { adaptersListCommand } from './list.ts';
import { adaptersMergeCommand } from './merge.ts';
import { adaptersPinCommand } from './pin.ts';
import { adaptersPullCommand } from './pull.ts';
import { adaptersPushCommand } from './push.ts';
import { adaptersRemoveCommand } from './rm.ts';
import { adaptersRollbackCommand } from './rollback.ts';

export function adaptersCommand(context: CommandContext): Command {
  return new Command('adapters')
    .description('list, upload, download, examine, combine, switch and remove the adapters of a running server')
    .addCommand(adaptersListCommand(context))
    .addCommand(adaptersPushCommand(context))
    .addCommand(adaptersPullCommand(context))
    .addCommand(adaptersInspectCommand(context))
    .addCommand(adaptersCompareCommand(context))
    .addCommand(adaptersMergeCommand(context))
    .addCommand(adaptersBakeCommand(context))
    .addCommand(adaptersActivateCommand(context))
    .addCommand(adaptersRollbackCommand(context))
    .addCommand(adaptersPinCommand(context))
    .addCommand(adaptersRemoveCommand(context));
}
