import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import type { Digest } from '../../core/index.ts';
import { type Calibration, readCalibration, writeCalibration } from './calibration.ts';
import { kvScales } from './kv-scales.ts';

const BASE = 'a'.repeat(64) as Digest;
const OTHER_BASE = 'b'.repeat(64) as Digest;
const layers = (first: number): readonly Float32Array[] => Array.from({ length: 12 }, (_, layer) => Float32Array.of(first, layer));
const CALIBRATION: Calibration = {
  levels: 'full',
  inputMax: new Map([['layers.0.qkv', Float32Array.of(1, 2.5, 0)]]),
  keyMax: layers(1),
  valueMax: layers(2),
  ranges: new Map([['layers.0.qkv', 3.5]]),
  oneProduct: ['layers.0.qkv', 'head'],
};

const folder = temporaryFolder();
const path = join(folder, 'calibration.safetensors');

describe('a stored calibration', () => {
  it('comes back as it was, its layers in order', async () => {
    await writeCalibration(folder, BASE, CALIBRATION);
    expect(await readCalibration(folder, BASE)).toEqual(CALIBRATION);
  });

  it('may have found no group that bears one product', async () => {
    const none = { ...CALIBRATION, ranges: new Map(), oneProduct: [] };
    await writeCalibration(folder, BASE, none);
    expect(await readCalibration(folder, BASE)).toEqual(none);
  });

  it('is not that of another base', async () => {
    await writeCalibration(folder, BASE, CALIBRATION);
    expect(await readCalibration(folder, OTHER_BASE)).toBeNull();
  });

  it('is stale when another version of the code made it, and gone when it is cut off', async () => {
    await writeCalibration(folder, BASE, CALIBRATION);
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.from(bytes.toString('latin1').replace(/"version":"\d"/, '"version":"x"'), 'latin1'));
    expect(await readCalibration(folder, BASE)).toBeNull();
    writeFileSync(path, bytes);
    truncateSync(path, bytes.length - 4);
    expect(await readCalibration(folder, BASE)).toBeNull();
  });
});

describe('kvScales', () => {
  it('lets the largest value be held with room above it, and is never zero', () => {
    const [scales] = kvScales({ keyMax: [Float32Array.of(12.7, 0)], valueMax: [Float32Array.of(1.27)] });
    expect(scales?.key[0]).toBeGreaterThan(12.7 / 127);
    expect(scales?.key[1]).toBeGreaterThan(0);
    expect(scales?.value[0]).toBeGreaterThan(1.27 / 127);
  });
});
