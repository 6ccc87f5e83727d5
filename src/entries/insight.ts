// The process of one insight: reads packed adapters and base weights, computes, answers, and ends. Its seconds of CPU disturb nobody.
import { createInsights } from '../adapters/index.ts';
import { describeError } from '../core/index.ts';
import { openModelPackage } from '../models/index.ts';
import { connectToParent } from '../processes/index.ts';
import type { FromInsight, InsightTask } from './insight-runner.ts';

async function main(): Promise<void> {
  const parent = connectToParent<never, FromInsight>();
  try {
    const task = JSON.parse(process.argv[2] ?? '{}') as InsightTask;
    const { description, weights } = await openModelPackage(task.modelFolder);
    const insights = createInsights(description, weights);
    const value = task.kind === 'inspect' ? await insights.inspect(task.path) : await insights.compare(task.first, task.second, task.side);
    parent.send({ kind: 'done', value });
  } catch (error) {
    parent.send({ kind: 'failed', message: describeError(error) });
  }
  parent.close();
}

await main();
