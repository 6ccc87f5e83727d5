// What of an adapter survives when it is merged at a precision: mean KL of next-token distributions from the float32 merge, over a text.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { ModelPackage, Precision } from '../../../src/models/index.ts';
import type { Divergence } from '../quality/divergence.ts';
import { allLogits, diverge } from '../quality/quality.ts';
import { MERGED, type MergedNeeds, type MergedSubject, withMerged } from './subject.ts';

const CONTEXT = 2048;

interface MergedForm {
  readonly name: string;
  readonly precision: Precision;
  readonly changedPrecision: 'int8' | 'base';
  /** Bound of the mean in nats, as for the base at this precision; null: shown only. */
  readonly bound: number | null;
}

const FORMS: readonly MergedForm[] = [
  { name: 'int8', precision: 'int8', changedPrecision: 'int8', bound: 0.004 },
  { name: 'w8a8, changed weights in int8 blocks', precision: 'w8a8', changedPrecision: 'int8', bound: 0.008 },
  { name: 'int4, changed weights in int8 blocks', precision: 'int4', changedPrecision: 'int8', bound: 0.004 },
  { name: 'int4, changed weights in int4 too', precision: 'int4', changedPrecision: 'base', bound: null },
];

export interface MergedQuality {
  readonly name: string;
  readonly bound: number | null;
  readonly divergence: Divergence;
}

export interface MergedQualities {
  /** From the float32 base: how much the adapter changes at all. */
  readonly effect: Divergence;
  readonly forms: readonly MergedQuality[];
}

export async function mergedQualities(model: ModelPackage, adapter: PackedAdapter, tokenIds: readonly number[]): Promise<MergedQualities> {
  const using = async <Result>(
    form: Pick<MergedNeeds, 'precision' | 'changedPrecision'>,
    use: (subject: MergedSubject) => Result,
  ): Promise<Result> => await withMerged(model, { ...form, adapter, maxRows: 1, maxContext: CONTEXT }, use);
  const { reference, effect } = await using({ precision: 'fp32', changedPrecision: 'int8' }, ({ executor }) => {
    const logits = allLogits(executor, tokenIds, { merged: MERGED });
    return { reference: logits, effect: diverge(executor, tokenIds, logits) };
  });
  const forms: MergedQuality[] = [];
  for (const { name, bound, ...form } of FORMS)
    forms.push({
      name,
      bound,
      divergence: await using(form, ({ executor }) => diverge(executor, tokenIds, reference, { merged: MERGED })),
    });
  return { effect, forms };
}
