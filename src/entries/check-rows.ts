// The process that checks the rows of training files: reads, tokenises, answers, and ends. Its seconds of CPU disturb nobody.
import { describeError } from '../core/index.ts';
import { openModelPackage } from '../models/index.ts';
import { connectToParent } from '../processes/index.ts';
import { createTokenizer } from '../text/index.ts';
import { rowTextOf } from '../training/index.ts';
import { checkRows } from '../training/jobs/index.ts';
import type { FromRowCheck, RowCheckTask } from './row-checker.ts';

async function main(): Promise<void> {
  const parent = connectToParent<never, FromRowCheck>();
  try {
    const { modelFolder, path, limits } = JSON.parse(process.argv[2] ?? '{}') as RowCheckTask;
    const { tokenizer, chatTemplate, description } = await openModelPackage(modelFolder);
    const text = rowTextOf(createTokenizer(tokenizer), chatTemplate, description.stopTokenIds);
    parent.send({ kind: 'done', report: await checkRows(path, text, limits) });
  } catch (error) {
    parent.send({ kind: 'failed', message: describeError(error) });
  }
  parent.close();
}

await main();
