// The calibration of a base model as data, and its file in the model package: read with checks, null when missing or stale.
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../core/index.ts';
import type { RowLevels } from '../../graph/index.ts';
import { float32Tensor, readSafetensors, tensorToFloat32, writeSafetensors } from '../../formats/index.ts';

/** Raise it when the text or what is measured changes: older files are then made again. */
const CALIBRATION_VERSION = '5';

const CALIBRATION_FILE = 'calibration.safetensors';
const FORMAT = 'lorikeet-calibration';
const ONE_PRODUCT = 'one_product';

/** What the calibration text shows of a base: how large activations become, and which projections bear coarser products. */
export interface Calibration {
  /** Largest |x| of each input channel, [inFeatures], by projection group: `layers.3.qkv`, `.o`, `.gate_up`, `.down`. */
  readonly inputMax: ReadonlyMap<string, Float32Array>;
  /** Largest |k| of each layer after rotary embedding, by kv head and channel: [kvHeads * headSize]. */
  readonly keyMax: readonly Float32Array[];
  /** Largest |v|, likewise. */
  readonly valueMax: readonly Float32Array[];
  /** Of the weights in the products that were tried: another kind of processor takes others. */
  readonly levels: RowLevels;
  /** Of the groups whose turned inputs have a range that serves all rows: the largest value that is not cut off. */
  readonly ranges: ReadonlyMap<string, number>;
  /** Groups that bear one product in integers at w8a8. */
  readonly oneProduct: readonly string[];
}

/** The calibration of this base in its package folder; null when there is none, or one that is damaged, older or of another base. */
export async function readCalibration(modelFolder: string, baseDigest: Digest): Promise<Calibration | null> {
  try {
    const { metadata, tensors } = readSafetensors(await readFile(join(modelFolder, CALIBRATION_FILE)));
    const isCurrent = [...fileMetadata(baseDigest)].every(([key, value]) => metadata.get(key) === value);
    if (!isCurrent) return null;
    const measures = new Map([...tensors].map(([name, tensor]) => [name, tensorToFloat32(tensor)]));
    const named = (prefix: string) => [...measures].filter(([name]) => name.startsWith(prefix));
    const byLayer = (half: 'key' | 'value') => named(`${half}.`).map((_, layer) => measures.get(`${half}.${layer}`) ?? new Float32Array());
    const levels = metadata.get('levels');
    if (levels !== 'full' && levels !== 'paired') return null;
    return {
      levels,
      inputMax: new Map(named('input.').map(([name, values]) => [name.slice('input.'.length), values])),
      keyMax: byLayer('key'),
      valueMax: byLayer('value'),
      ranges: new Map(named('range.').map(([name, [value = Infinity]]) => [name.slice('range.'.length), value])),
      oneProduct:
        metadata
          .get(ONE_PRODUCT)
          ?.split(' ')
          .filter((group) => group !== '') ?? [],
    };
  } catch {
    return null;
  }
}

/** Replaces the package's calibration; whole or not at all. */
export async function writeCalibration(modelFolder: string, baseDigest: Digest, calibration: Calibration): Promise<void> {
  const { levels, inputMax, keyMax, valueMax, ranges, oneProduct } = calibration;
  const measures: readonly (readonly [string, Float32Array])[] = [
    ...[...inputMax].map(([group, values]): readonly [string, Float32Array] => [`input.${group}`, values]),
    ...keyMax.map((values, layer): readonly [string, Float32Array] => [`key.${layer}`, values]),
    ...valueMax.map((values, layer): readonly [string, Float32Array] => [`value.${layer}`, values]),
    ...[...ranges].map(([group, value]): readonly [string, Float32Array] => [`range.${group}`, Float32Array.of(value)]),
  ];
  const tensors = measures.map(([name, values]) => float32Tensor(name, [values.length], values));
  const path = join(modelFolder, CALIBRATION_FILE);
  const work = `${path}.${process.pid}.partial`;
  const file = await open(work, 'w');
  try {
    await file.writeFile(
      writeSafetensors(tensors, new Map([...fileMetadata(baseDigest), ['levels', levels], [ONE_PRODUCT, oneProduct.join(' ')]])),
    );
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(work, path);
}

function fileMetadata(baseDigest: Digest): ReadonlyMap<string, string> {
  return new Map([
    ['format', FORMAT],
    ['version', CALIBRATION_VERSION],
    ['base', baseDigest],
  ]);
}
