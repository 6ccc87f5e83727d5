// `npm run bench [part…] [-- --rounds N --rows 1,4]`: measures on this machine, prints tables, writes JSON and charts to results/.
import { parseArgs } from 'node:util';
import { benchDecode } from './decode/decode.ts';
import type { BenchOptions } from './options.ts';
import { benchQuality } from './quality/quality.ts';

/** Each part answers whether its result is within its bounds. */
const PARTS: Readonly<Record<string, (options: BenchOptions) => Promise<boolean>>> = { quality: benchQuality, decode: benchDecode };

const USUAL = { rounds: '5', rows: '1,4,8,16' };

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: USUAL.rounds }, rows: { type: 'string', default: USUAL.rows } },
  });
  const names = positionals.length === 0 ? Object.keys(PARTS) : positionals;
  const rounds = positiveInteger('--rounds', values.rounds);
  const rowCounts = values.rows.split(',').map((text) => positiveInteger('--rows', text));
  for (const name of names) {
    const part = PARTS[name];
    if (!part) throw new Error(`there is no part "${name}"; parts: ${Object.keys(PARTS).join(', ')}`);
    if (!(await part({ rounds, rowCounts: rowCounts.toSorted((a, b) => a - b) }))) process.exitCode = 1;
  }
}

function positiveInteger(option: string, text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`${option} ${text}: expected whole numbers from 1 to 9999`);
  return Number(text);
}

await main();
