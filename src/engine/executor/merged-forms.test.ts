import { mkdirSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import type { Digest } from '../../core/index.ts';
import type { CompiledModel } from '../../models/index.ts';
import { MergedForms } from './merged-forms.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

function digest(character: string): Digest {
  return character.repeat(64) as Digest;
}

describe('merged forms on disk', () => {
  it('are kept while their adapter is stored, the most recently used of them; what a dead process left goes, what is made now stays', async () => {
    const folder = temporaryFolder();
    const add = (name: string, ageHours: number): void => {
      mkdirSync(join(folder, name));
      const usedAt = new Date(NOW_MS - ageHours * HOUR_MS);
      utimesSync(join(folder, name), usedAt, usedAt);
    };
    add(`${digest('a')}.int8.fp32`, 1);
    add(`${digest('b')}.int8.fp32`, 2);
    add(`${digest('c')}.int8.fp32`, 3);
    add(`${digest('d')}.int8.fp32`, 0);
    add(`${digest('a')}.int4.fp32`, 0);
    add(`${digest('e')}.int8.fp32.77.partial`, 0.1);
    add(`${digest('f')}.int8.fp32.78.partial`, 2);
    add('unknown', 0);
    const forms = new MergedForms({
      folder,
      base: { precision: 'int8', kvScales: null } as CompiledModel,
      make: () => Promise.reject(new Error('nothing is made here')),
      isStored: (each) => Promise.resolve(each !== digest('d')),
      keepCount: 2,
      clock: { now: () => NOW_MS, monotonic: () => 0 },
    });
    await forms.sweep();
    expect(readdirSync(folder).toSorted()).toEqual([
      `${digest('a')}.int8.fp32`,
      `${digest('b')}.int8.fp32`,
      `${digest('e')}.int8.fp32.77.partial`,
    ]);
  });
});
