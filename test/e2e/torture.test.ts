// A thousand changes in random order against 16 streams: every answer is that of the version which its request leased, a name is missing only
// while it has no active version, leases balance, and the disk holds what is referenced and nothing else.
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type CertainAdapter, certainAdapters, certainBase } from '../support/certain-answers.ts';
import { Load } from '../support/load.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { Torment, type Moment } from '../support/torment.ts';
import { streamTokens, type TokenStream } from '../support/token-stream.ts';

const STREAMS = 16;
const CHANGES = Number(process.env['LORIKEET_TORTURE_CHANGES'] ?? 1000);
const SEED = Number(process.env['LORIKEET_TORTURE_SEED'] ?? 20_261_124);
const CONTENTS = certainAdapters(8);
const PROMPT = certainBase().prompt_token_ids;
/** Of each answer; the contents part before that. */
const TOKEN_COUNT = 8;
const TIMEOUT_MS = 600_000;

interface Asked {
  readonly name: string;
  readonly from: Moment;
  readonly to: Moment;
  /** null: the name was not there. */
  readonly stream: TokenStream | null;
}

describe('a thousand swaps, rollbacks, removals and uploads under load', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32', maxBatch: '16', adapterHostBytes: '1MiB' };
  });

  it('confuse no answer, leave no lease, and leave nothing on the disk', { timeout: TIMEOUT_MS }, async () => {
    const { api } = running;
    expect(new Set(CONTENTS.map(answerOf)).size).toBe(CONTENTS.length);
    const torment = new Torment(api, CONTENTS, SEED);
    await torment.begin();
    const load = new Load(STREAMS, async (): Promise<Asked> => {
      const [name, from] = [torment.someName(), torment.now];
      const stream = await streamTokens(api, { model: name, prompt: PROMPT, tokenCount: TOKEN_COUNT }).catch((error: unknown) => {
        if (String(error).includes('status 404') && String(error).includes('adapter_not_found')) return null;
        throw error;
      });
      return { name, from, to: torment.now, stream };
    });
    await load.untilEnded(STREAMS);
    for (let change = 0; change < CHANGES; change += 1) {
      await torment.change();
      // An answer between two changes, so that they spread over the load instead of racing ahead of it.
      await load.untilEnded(load.endedCount + 1);
    }
    await load.finish();

    expect(load.failures).toEqual([]);
    expect(load.results.filter((asked) => !isRight(asked, torment))).toEqual([]);
    const answered = new Set(load.results.flatMap(({ stream }) => stream?.adapterId ?? []));
    expect(answered.size, 'many versions answered').toBeGreaterThan(Math.min(CHANGES / 10, 40));
    expect([...torment.counts.keys()].toSorted(), 'every kind of change happened').toEqual([...Torment.KINDS].toSorted());

    await vi.waitFor(
      async () => {
        const metrics = await api.metrics();
        const leases = [metrics.value('lorikeet_adapter_leases'), metrics.value('lorikeet_engine_adapter_leases')];
        expect(leases, 'leases of the front and of the engine').toEqual([0, 0]);
        expect(metrics.value('lorikeet_adapter_resident_bytes')).toBeLessThanOrEqual(1024 ** 2);
        expect(blobsOnDisk(dataDir)).toEqual(neededBlobs(await torment.stored()));
      },
      { timeout: 20_000, interval: 200 },
    );
  });
});

function isRight({ name, from, to, stream }: Asked, torment: Torment): boolean {
  if (stream === null) return torment.wasAbsent(name, from, to);
  const content = torment.contentOf(stream.adapterId ?? 'base');
  return stream.isDone && content !== undefined && stream.tokenIds.join(' ') === answerOf(content);
}

function answerOf({ answer }: CertainAdapter): string {
  return answer.greedy_token_ids.slice(0, TOKEN_COUNT).join(' ');
}

function blobsOnDisk(dataDir: string): readonly string[] {
  const folder = join(dataDir, 'blobs', 'sha256');
  return readdirSync(folder)
    .flatMap((shard) => readdirSync(join(folder, shard)))
    .toSorted();
}

function neededBlobs(stored: readonly { readonly digest: string; readonly content: CertainAdapter }[]): readonly string[] {
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const all = stored.flatMap(({ digest, content }) => [digest, sha256(content.files.config), sha256(content.files.tensors)]);
  return [...new Set(all)].toSorted();
}
