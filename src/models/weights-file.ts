// Writes the weights file of a compiled base: every distinct recipe once, aligned, durable before it is named.
import { open } from 'node:fs/promises';
import { recipeKey, type WeightRecipe } from '../graph/index.ts';
import type { Materialiser } from './materialise.ts';

/** Alignment of each weight; a cache line, and a multiple of every element size. */
const ALIGNMENT = 64;

export interface StoredWeight {
  readonly offset: number;
  readonly bytes: number;
}

export interface WeightsFileOptions {
  readonly path: string;
  readonly recipes: readonly WeightRecipe[];
  readonly materialiser: Materialiser;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Answers where each recipe key lies. */
export async function writeWeightsFile({
  path,
  recipes,
  materialiser,
  onProgress,
}: WeightsFileOptions): Promise<ReadonlyMap<string, StoredWeight>> {
  const stored = new Map<string, StoredWeight>();
  const file = await open(path, 'w');
  try {
    let offset = 0;
    for (const [index, recipe] of recipes.entries()) {
      const key = recipeKey(recipe);
      if (!stored.has(key)) {
        const bytes = await materialiser.bytes(recipe);
        await writeWhole(file, bytes, offset);
        stored.set(key, { offset, bytes: bytes.byteLength });
        offset = Math.ceil((offset + bytes.byteLength) / ALIGNMENT) * ALIGNMENT;
      }
      onProgress?.(index + 1, recipes.length);
    }
    await file.truncate(offset);
    await file.sync();
  } finally {
    await file.close();
  }
  return stored;
}

async function writeWhole(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const result = await file.write(bytes, written, bytes.byteLength - written, position + written);
    written += result.bytesWritten;
  }
}
