// What was acknowledged survives kill -9: a child writes and prints acknowledgements, the parent kills it and opens what is left.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import { openStorage } from './index.ts';

interface Acknowledgement {
  readonly name: AdapterName;
  readonly version: number;
  readonly packedDigest: Digest;
  readonly keyId: string;
}

const CYCLES = 20;
const TENANT = 'acme' as TenantId;
const WRITER = path.join(import.meta.dirname, '../../test/contract/durability-writer.ts');

let dataDir: string;
beforeAll(() => {
  dataDir = mkdtempSync(path.join(os.tmpdir(), 'lorikeet-durability-'));
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

/** Lets a writer run until it acknowledged `count` things, kills it there, and answers all that it acknowledged. */
async function writeAndKill(cycle: number, count: number, whileRunning: (pid: number) => void): Promise<readonly Acknowledgement[]> {
  const writer = spawn(process.execPath, ['--import', 'tsx', WRITER, dataDir, String(cycle)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: Acknowledgement[] = [];
  for await (const line of createInterface({ input: writer.stdout })) {
    lines.push(JSON.parse(line) as Acknowledgement);
    if (lines.length === 1) whileRunning(writer.pid ?? 0);
    if (lines.length === count) writer.kill('SIGKILL');
  }
  return lines;
}

it(`keeps all that was acknowledged through ${CYCLES} kills`, { timeout: 180_000 }, async () => {
  const acknowledged: Acknowledgement[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle += 1) {
    // The kill falls wherever the writer is when the line arrives: in a blob, between blob and row, or in a commit.
    const lines = await writeAndKill(cycle, 1 + ((cycle * 7) % 23), (pid) => {
      // Opening waits a second for the owner, which is too long for each cycle.
      if (cycle > 0) return;
      expect(() => openStorage(dataDir)).toThrow(`in use by process ${pid}`);
    });
    expect(lines.length).toBeGreaterThan(0);
    acknowledged.push(...lines);
    verify(acknowledged);
  }
});

function verify(acknowledged: readonly Acknowledgement[]): void {
  const storage = openStorage(dataDir);
  try {
    expect(readdirSync(storage.blobs.temporaryFolder)).toEqual([]);
    const keyIds = new Set(storage.keys.all().map((key) => key.id));
    const newest = new Map<AdapterName, number>();
    for (const { name, version, packedDigest, keyId } of acknowledged) {
      expect(storage.adapters.version(TENANT, name, version)?.packedDigest).toBe(packedDigest);
      expect(keyIds.has(keyId)).toBe(true);
      newest.set(name, version);
    }
    for (const digest of storage.adapters.referencedDigests()) {
      expect(
        createHash('sha256')
          .update(readFileSync(storage.blobs.path(digest)))
          .digest('hex'),
      ).toBe(digest);
    }
    for (const [name, version] of newest) {
      // The kill may have come after the commit and before the acknowledgement.
      expect(storage.adapters.adapter(TENANT, name)?.activeVersion).toBeGreaterThanOrEqual(version);
    }
  } finally {
    storage.close();
  }
}
