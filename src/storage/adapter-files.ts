// The order in which every driver answers a version's files.
import type { AdapterFileRow } from './ports.ts';

export function byFileName(left: AdapterFileRow, right: AdapterFileRow): number {
  return left.fileName < right.fileName ? -1 : Number(left.fileName > right.fileName);
}
