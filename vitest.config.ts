// The suite in layers, cheapest first. Layers that start servers or load the real model run one file at a time: they would
// otherwise fight for the cores that they measure.
import { configDefaults, defineConfig } from 'vitest/config';

interface Layer {
  readonly name: string;
  readonly include: string;
  readonly exclude?: readonly string[];
  readonly timeoutMs: number;
  readonly serial: boolean;
}

const SECOND_MS = 1000;
const PARITY = 'test/parity/**/*.test.ts';
const END_TO_END = 'test/e2e/**/*.test.ts';
const CLIENTS = 'test/clients/**/*.test.ts';

const LAYERS: readonly Layer[] = [
  { name: 'unit', include: 'src/**/*.test.ts', timeoutMs: 20 * SECOND_MS, serial: false },
  // Every other folder of test/, so that a new one cannot be forgotten here.
  { name: 'rooms', include: 'test/**/*.test.ts', exclude: [PARITY, END_TO_END, CLIENTS], timeoutMs: 60 * SECOND_MS, serial: false },
  { name: 'parity', include: PARITY, timeoutMs: 300 * SECOND_MS, serial: true },
  { name: 'clients', include: CLIENTS, timeoutMs: 60 * SECOND_MS, serial: true },
  { name: 'e2e', include: END_TO_END, timeoutMs: 300 * SECOND_MS, serial: true },
];

export default defineConfig({
  test: {
    pool: 'forks',
    projects: LAYERS.map(({ name, include, exclude = [], timeoutMs, serial }, order) => ({
      test: {
        name,
        include: [include],
        exclude: [...configDefaults.exclude, ...exclude],
        environment: 'node',
        testTimeout: timeoutMs,
        hookTimeout: Math.max(timeoutMs, 60 * SECOND_MS),
        sequence: { groupOrder: order },
        ...(serial && { maxWorkers: 1, fileParallelism: false }),
      },
    })),
  },
});
