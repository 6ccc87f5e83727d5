// npm run samples: trains the sample adapters again from the rows in test/fixtures/e2e, on a server of its own, and writes them into
// adapters/samples. Prints their NLL and BLEU, which belong into adapters/samples/README.md.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpusBleu } from '../src/cli/train/bleu.ts';
import { Api } from './support/api.ts';
import { REAL_MODEL, REAL_MODELS_DIR, realModelFolder } from './support/real-model.ts';
import { fixturePath, repositoryPath } from './support/repository.ts';
import { startServer } from './support/server.ts';
import { createJob, followJob, readSteps, uploadRows } from './support/training-api.ts';

const TEST_ROWS = 100;
const NEW_TOKENS = 60;
const SEED = 1;
const FILES = ['adapter_config.json', 'adapter_model.safetensors'];

interface Row {
  readonly prompt: string;
  readonly completion: string;
}

interface Sample {
  readonly name: string;
  readonly steps: number;
  readonly row: (row: Row) => Row;
}

const SAMPLES: readonly Sample[] = [
  { name: 'e2e-describe', steps: 180, row: (row) => row },
  {
    name: 'e2e-extract',
    steps: 200,
    row: ({ prompt, completion }) => ({ prompt: `Text: ${completion}\nFacts:`, completion: ` ${prompt.trim()}` }),
  },
];

function readRows<T>(name: string): T[] {
  const lines = readFileSync(fixturePath(`e2e/${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

function rowsFor({ row }: Sample, name: 'train' | 'valid'): string {
  return readRows<Row>(name)
    .map((each) => JSON.stringify(row(each)))
    .join('\n');
}

async function makeSample(api: Api, sample: Sample): Promise<void> {
  const startedAtMs = performance.now();
  const files = {
    training_file: await uploadRows(api, rowsFor(sample, 'train')),
    validation_file: await uploadRows(api, rowsFor(sample, 'valid')),
  };
  const { id } = await createJob(
    api,
    { model: REAL_MODEL, suffix: sample.name, seed: SEED, ...files },
    { max_steps: sample.steps, evaluation_steps: sample.steps },
  );
  const job = await followJob(api, id, ({ step, train_loss: loss }) => {
    if (step % 10 === 0) console.log(`${sample.name}: step ${step} of ${sample.steps}, loss ${loss.toFixed(4)}`);
  });
  if (job.status !== 'succeeded') throw new Error(`${sample.name}: the job ended as ${job.status}: ${job.error?.message}`);
  const folder = repositoryPath(`adapters/samples/${sample.name}`);
  mkdirSync(folder, { recursive: true });
  for (const file of FILES) {
    const response = await api.send('GET', `/v1/adapters/${sample.name}/versions/${job.adapter_version}/files/${file}`);
    writeFileSync(join(folder, file), new Uint8Array(await response.arrayBuffer()));
  }
  const nll = (await readSteps(api, id)).at(-1)?.valid_loss;
  console.log(`${sample.name}: NLL ${nll?.toFixed(4)} on valid.jsonl, ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`);
}

/** Greedy, on the first rows of test.jsonl. */
async function bleuOf(api: Api, model: string): Promise<number> {
  const rows = readRows<{ prompt: string; references: string[] }>('test').slice(0, TEST_ROWS);
  const segments = [];
  for (const { prompt, references } of rows) {
    const { text } = await api.complete({ model, prompt, max_tokens: NEW_TOKENS, temperature: 0 });
    segments.push({ hypothesis: text.trim(), references });
  }
  return corpusBleu(segments);
}

await realModelFolder();
const dataDir = mkdtempSync(join(tmpdir(), 'lorikeet-samples-'));
const server = await startServer({ modelsDir: REAL_MODELS_DIR, dataDir, model: REAL_MODEL });
try {
  const api = new Api(server.url);
  for (const sample of SAMPLES) await makeSample(api, sample);
  console.log(`e2e-describe: BLEU ${(await bleuOf(api, 'e2e-describe')).toFixed(1)} on ${TEST_ROWS} rows of test.jsonl`);
} finally {
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
