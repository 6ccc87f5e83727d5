import { describe, expect, it } from 'vitest';
import { type Machine, servingForms } from './serving-forms.ts';

const GIB = 1024 ** 3;
const WITHOUT_VNNI: Machine = { hasInt8DotProduct: false, hasInt8Tiles: false, memoryBytes: 16 * GIB };
const WITH_VNNI: Machine = { ...WITHOUT_VNNI, hasInt8DotProduct: true };

describe('servingForms', () => {
  it('takes a second form by itself while its weights are small beside the memory: float32 where int8 products are slow, else w8a8', () => {
    const wanted = { precision: 'auto', prefillPrecision: 'auto', kvPrecision: 'fp32' } as const;
    expect(servingForms(wanted, GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', second: 'fp32', kv: 'fp32' });
    expect(servingForms(wanted, GIB, WITH_VNNI)).toEqual({ decode: 'int8', second: 'w8a8', kv: 'fp32' });
    expect(servingForms(wanted, 4 * GIB, WITH_VNNI)).toEqual({ decode: 'int8', second: 'w8a8', kv: 'fp32' });
    expect(servingForms(wanted, 5 * GIB, WITH_VNNI)).toEqual({ decode: 'int8', second: null, kv: 'fp32' });
    expect(servingForms(wanted, 3 * GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', second: null, kv: 'fp32' });
  });

  it('does what the operator says, on any machine', () => {
    const long = { precision: 'int4', prefillPrecision: 'fp32', kvPrecision: 'int8' } as const;
    expect(servingForms(long, 9 * GIB, WITH_VNNI)).toEqual({ decode: 'int4', second: 'fp32', kv: 'int8' });
    const single = { precision: 'int8', prefillPrecision: 'same', kvPrecision: 'fp32' } as const;
    expect(servingForms(single, GIB, WITHOUT_VNNI)).toEqual({ decode: 'int8', second: null, kv: 'fp32' });
  });

  it('needs no second form at fp32, and at w8a8 only where the operator asks for one', () => {
    const exact = { precision: 'fp32', prefillPrecision: 'fp32', kvPrecision: 'fp32' } as const;
    expect(servingForms(exact, GIB, WITHOUT_VNNI)).toEqual({ decode: 'fp32', second: null, kv: 'fp32' });
    const rowWise = { precision: 'w8a8', prefillPrecision: 'auto', kvPrecision: 'int8' } as const;
    expect(servingForms(rowWise, GIB, WITHOUT_VNNI)).toEqual({ decode: 'w8a8', second: null, kv: 'int8' });
    expect(servingForms({ ...rowWise, prefillPrecision: 'fp32' }, GIB, WITHOUT_VNNI).second).toBe('fp32');
  });
});
