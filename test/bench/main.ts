// `npm run bench [part…] [-- options]`: measures on this machine, prints tables, writes JSON, tables and charts to results/.
import { parseArgs } from 'node:util';
import { benchFleet } from './fleet/fleet.ts';
import { benchLoad } from './load/load.ts';
import { benchLongPrompt } from './load/long-prompt.ts';
import { benchSampling } from './load/sampling.ts';
import { benchSchedule } from './load/schedule.ts';
import { benchMerged } from './merged/merged.ts';
import type { BenchOptions } from './options.ts';
import { benchQuality } from './quality/quality.ts';
import { benchDecode } from './speed/decode.ts';
import { benchSpeed } from './speed/speed.ts';
import { benchBeside } from './train/beside.ts';
import { benchTrain } from './train/train.ts';

/** Each part answers whether its result is within its bounds. */
const PARTS: Readonly<Record<string, (options: BenchOptions) => Promise<boolean>>> = {
  quality: benchQuality,
  speed: benchSpeed,
  decode: benchDecode,
  train: benchTrain,
  beside: benchBeside,
  load: benchLoad,
  sampling: benchSampling,
  schedule: benchSchedule,
  fleet: benchFleet,
  'long-prompt': benchLongPrompt,
  merged: benchMerged,
};

/** `speed` measures the same, and more. */
const ONLY_WHEN_NAMED = new Set(['decode']);

const OPTIONS = {
  rounds: { type: 'string', default: '3' },
  rows: { type: 'string', default: '1,4,8,16,32' },
  precisions: { type: 'string', default: 'int8,w8a8' },
  peers: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const HELP = `npm run bench [part…] [-- options]

Parts (all of them but decode when none is named):
  quality      mean KL divergence of each precision from fp32, against its bound
  speed        tokens/s of decode, prefill and mixes of adapters, ours and peers in turns; memory; share of the machine's limits
  decode       the short of it: the default form against node-llama-cpp at 1, 4, 8 and 16 rows and in prefill, and 16 adapters against none
  train        tokens/s and memory of training steps, ours and PEFT on torch in turns (makes a Python environment once)
  beside       what a training job does to the rows that decode beside it
  load         8 requests/s with 64 adapters through HTTP: time to first token, between tokens
  sampling     what temperature, top-p, log probabilities and so on cost through HTTP, against greedy tokens
  schedule     the scheduling of load and long-prompt in simulated time, where the machine's noise does not reach
  fleet        10,000 registered adapters: start-up, memory, cold against warm adapters, traffic over all of them, long lists
  long-prompt  what a long prompt does to the rows that decode beside it
  merged       a merged adapter's decode step against the base's, what merging at each precision loses, and what merging does to others

Options of speed (decode and sampling take --rounds only):
  --rounds N           rounds of interleaved measurements; medians and ranges are over them (${OPTIONS.rounds.default})
  --rows LIST          sizes of the decode batch (${OPTIONS.rows.default})
  --precisions LIST    of ours: fp32, int8, int4, w8a8 (${OPTIONS.precisions.default})
  --peers              besides llama.cpp (node-llama-cpp) also OpenVINO GenAI, llama.cpp built for this machine, vLLM CPU and PEFT;
                       makes a private Python environment for each under node_modules/.cache once (about 15 GB, compiles llama.cpp)

Nothing else should run meanwhile. Results: test/bench/results/ (JSON, Markdown, SVG).
Example: npm run bench speed -- --rounds 5 --rows 1,16 --peers`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
  if (values.help) return console.log(HELP);
  const unknown = positionals.find((name) => !PARTS[name]);
  if (unknown !== undefined) throw new Error(`there is no part "${unknown}"; parts: ${Object.keys(PARTS).join(', ')}`);
  const options: BenchOptions = {
    rounds: positiveInteger('--rounds', values.rounds),
    rowCounts: values.rows
      .split(',')
      .map((text) => positiveInteger('--rows', text))
      .toSorted((a, b) => a - b),
    precisions: values.precisions.split(','),
    withPeers: values.peers,
  };
  for (const [name, part] of Object.entries(PARTS)) {
    if (positionals.length > 0 ? !positionals.includes(name) : ONLY_WHEN_NAMED.has(name)) continue;
    if (!(await part(options))) process.exitCode = 1;
  }
}

function positiveInteger(option: string, text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`${option} ${text}: expected whole numbers from 1 to 9999`);
  return Number(text);
}

await main();
