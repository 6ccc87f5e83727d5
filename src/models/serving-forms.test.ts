import { describe, expect, it } from 'vitest';
import { type Machine, servingForms } from './serving-forms.ts';

const GIB = 1024 ** 3;
const WITHOUT_VNNI: Machine = { hasInt8DotProduct: false, memoryBytes: 16 * GIB };
const WITH_VNNI: Machine = { ...WITHOUT_VNNI, hasInt8DotProduct: true };

describe('servingForms', () => {
  it('takes a float32 prefill form by itself only where int8 products are slow and its weights are small beside the memory', () => {
    const wanted = { precision: 'auto', prefillPrecision: 'auto' } as const;
    expect(servingForms(wanted, GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', prefill: 'fp32' });
    expect(servingForms(wanted, GIB, WITH_VNNI)).toEqual({ decode: 'int8', prefill: null });
    expect(servingForms(wanted, 3 * GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', prefill: null });
  });

  it('does what the operator says, on any machine', () => {
    expect(servingForms({ precision: 'int4', prefillPrecision: 'fp32' }, 9 * GIB, WITH_VNNI)).toEqual({ decode: 'int4', prefill: 'fp32' });
    expect(servingForms({ precision: 'int8', prefillPrecision: 'same' }, GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', prefill: null });
  });

  it('needs no second form at fp32, and refuses what this build cannot run', () => {
    expect(servingForms({ precision: 'fp32', prefillPrecision: 'fp32' }, GIB, WITHOUT_VNNI)).toEqual({ decode: 'fp32', prefill: null });
    expect(() => servingForms({ precision: 'w8a8', prefillPrecision: 'auto' }, GIB, WITH_VNNI)).toThrow(/got "w8a8"/);
  });
});
