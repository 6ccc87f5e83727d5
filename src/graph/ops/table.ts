// The table of operators. An operator that is not in it does not exist for the compiler.
import { microsoftOps } from './microsoft.ts';
import type { OpSchema } from './schema.ts';
import { standardOps } from './standard.ts';
import { trainingOps } from './training.ts';

const table: ReadonlyMap<string, OpSchema> = new Map(
  [...standardOps, ...microsoftOps, ...trainingOps].map((schema) => [schema.op, schema]),
);

/** @throws Error that names an operator which the table lacks. */
export function opSchema(op: string): OpSchema {
  const schema = table.get(op);
  if (!schema) throw new Error(`operator ${op} is not known; the table has ${[...table.keys()].join(', ')}`);
  return schema;
}
