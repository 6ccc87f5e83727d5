// The real model at fp32 against PEFT on PyTorch, through the HTTP API: each adapter alone, then all of them and the base at once.
import { beforeAll, describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { NOT_IN_GGUF } from '../support/adapter-kinds.ts';
import { casesOf, readExpected } from '../support/expected.ts';
import { disagreements, ggufDisagreements, greedyDisagreements } from '../support/parity.ts';
import { REAL_MODEL, REAL_MODELS_DIR, realModelFolder } from '../support/real-model.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';

const FETCH_AND_COMPILE_MS = 600_000;

const file = readExpected('parity');
const names = Object.keys(file.cases);
const adapters = names.filter((name) => name !== 'base');

describe('SmolLM2-135M-Instruct at fp32', () => {
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await realModelFolder();
    return { modelsDir: REAL_MODELS_DIR, dataDir, model: REAL_MODEL, precision: 'fp32', maxBatch: '16', maxContext: '256' };
  }, FETCH_AND_COMPILE_MS);

  beforeAll(async () => {
    for (const name of adapters) await running.api.upload(name, fixtureAdapter(`parity/adapters/${name}`));
  });

  it('has a base and five adapters to compare', () => {
    expect(names).toEqual(['base', 'r4-qv', 'r12-mixed', 'rslora-attn', 'dora-qv', 'r16-all']);
  });

  it.each(names)('computes what PEFT computes, alone: %s', async (name) => {
    const { api } = running;
    expect(await disagreements(api, modelOf(name), casesOf(file, name))).toEqual([]);
  });

  it.each(adapters)('computes what PEFT computes, after export to GGUF and back: %s', async (name) => {
    expect(await ggufDisagreements(running.api, name, casesOf(file, name), NOT_IN_GGUF[`parity/adapters/${name}`])).toEqual([]);
  });

  it('computes what PEFT computes with the base and all adapters in shared calls', async () => {
    const { api } = running;
    const before = await api.metrics();
    const compared = await Promise.all(
      names.flatMap((name) => casesOf(file, name).map((answer) => greedyDisagreements(api, modelOf(name), answer))),
    );
    expect(compared.flat()).toEqual([]);
    const after = await api.metrics();
    const grown = (metric: string): number => after.value(metric) - before.value(metric);
    const rowsPerCall = grown('lorikeet_engine_decode_rows_total') / grown('lorikeet_engine_decode_calls_total');
    // 24 requests of 24 tokens on 16 rows, each row with its own adapter: a server that ran them one after the other would show 1.
    expect(rowsPerCall).toBeGreaterThan(4);
  });
});

function modelOf(name: string): string {
  return name === 'base' ? REAL_MODEL : name;
}
