// Rows of files and jobs for tests of storage and of what stands on it.
import type { AdapterName, TenantId } from '../../src/core/index.ts';
import type { FileRow, JobContent, NewJobEvent } from '../../src/storage/index.ts';
import { digestOf } from './rows.ts';

export function fileRow(tenant: TenantId, id: string, content = id): FileRow {
  const digest = digestOf(content);
  return { id, tenant, digest, bytes: content.length, fileName: `${id}.jsonl`, purpose: 'fine-tune', createdAtMs: 1_700_000_000_000 };
}

export function jobContent(tenant: TenantId, id: string): JobContent {
  return {
    id,
    tenant,
    adapterName: 'poet' as AdapterName,
    baseDigest: digestOf('base'),
    trainingDigest: digestOf(`training of ${id}`),
    validationDigest: digestOf(`validation of ${id}`),
    initial: { config: digestOf(`config of ${id}`), tensors: digestOf(`tensors of ${id}`) },
    request: '{"suffix":"poet"}',
    createdAtMs: 1_700_000_000_000,
  };
}

export function messageEvent(message: string): NewJobEvent {
  return { atMs: 1, level: 'info', message, step: null, data: null };
}

export function stepEvent(step: number, data = '{}'): NewJobEvent {
  return { atMs: step, level: 'info', message: `step ${step}`, step, data };
}
