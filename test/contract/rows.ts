// Rows for tests of storage and of what stands on it.
import { createHash } from 'node:crypto';
import type { AdapterName, Digest, TenantId } from '../../src/core/index.ts';
import type { AdapterVersionRow } from '../../src/storage/index.ts';

export function digestOf(content: string): Digest {
  return createHash('sha256').update(content).digest('hex') as Digest;
}

/** A version row whose digests come from `content`. */
export function versionRow(tenant: TenantId, name: AdapterName, content: string): Omit<AdapterVersionRow, 'version'> {
  return {
    tenant,
    name,
    packedDigest: digestOf(`packed ${content}`),
    files: [
      { fileName: 'adapter_config.json', digest: digestOf('config'), bytes: 6 },
      { fileName: 'adapter_model.safetensors', digest: digestOf(content), bytes: content.length },
    ],
    kind: 'lora',
    rank: 8,
    targetModules: ['q_proj', 'v_proj'],
    baseDigest: digestOf('base'),
    createdAtMs: 1_700_000_000_000,
  };
}
