// What an import refuses of a source before it looks at weights.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type GgufBytes, ggufBytes } from '../../test/support/gguf-bytes.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import type { AppError } from '../core/index.ts';
import { readBaseFacts } from './base-source.ts';

const UINT16 = 2;

/** A file without tensors that says it is one of so many parts, as llama.cpp writes it. */
function partOf(count: number): Uint8Array {
  return ggufBytes({ pairs: [(bytes: GgufBytes) => bytes.string('split.count').u32(UINT16).raw(Uint8Array.of(count, 0))] });
}

describe('readBaseFacts', () => {
  const folder = temporaryFolder();

  async function refusalOfGguf(bytes: Uint8Array): Promise<AppError> {
    const path = join(folder, 'model.gguf');
    writeFileSync(path, bytes);
    return await refusalOf(async () => await readBaseFacts('gguf', path));
  }

  it('refuses a part of a split GGUF and says how to join the parts', async () => {
    const { code, message } = await refusalOfGguf(partOf(3));
    expect(code).toBe('invalid_request');
    expect(message).toMatch(/one of 3 parts.*split\.count.*llama-gguf-split --merge/);
  });

  it('takes a split of one part for a whole file', async () => {
    expect((await refusalOfGguf(partOf(1))).message).toContain('general.architecture');
  });
});
