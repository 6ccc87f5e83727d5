// LoRAX's `merged_adapters`: its schema, and what it means here. Its checks are LoRAX's own (router/src/validation.rs), and what LoRAX would
// ignore is refused.
import { Type, type Static } from 'typebox';
import { checkedWeight, requirePartCount, type FactorStrategy, type Mix } from '../../adapters/index.ts';
import { AppError } from '../../core/index.ts';
import { LIMITS } from '../limits.ts';

export const MergedAdapters = Type.Object(
  {
    ids: Type.Array(Type.String({ maxLength: LIMITS.labelCharacters }), {
      maxItems: LIMITS.labelCharacters,
      description: 'Adapter references',
    }),
    weights: Type.Optional(Type.Array(Type.Number(), { maxItems: LIMITS.labelCharacters, description: 'One for each id; default 1' })),
    merge_strategy: Type.Optional(
      Type.Union([Type.Literal('linear'), Type.Literal('ties'), Type.Literal('dare_linear'), Type.Literal('dare_ties'), Type.Null()]),
    ),
    density: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Share of the values that are kept; needed but for linear' }),
    ),
    majority_sign_method: Type.Optional(Type.Union([Type.Literal('total'), Type.Literal('frequency'), Type.Null()])),
  },
  {
    additionalProperties: false,
    description: "LoRAX's merge of A with A and B with B. For the exact weighted sum of what adapters do, name a*0.7,b*0.3 as the adapter",
  },
);
export type MergedAdapters = Static<typeof MergedAdapters>;

/** A mix, or the reference of the one adapter. @throws AppError `invalid_request` naming the field. */
export function mergedAdapters(merged: MergedAdapters): string | Mix {
  const { ids } = merged;
  requirePartCount(ids.length);
  const weights = merged.weights ?? ids.map(() => 1);
  if (weights.length !== ids.length) throw refusal(`got ${ids.length} ids and ${weights.length} weights, expected a weight for each id`);
  const strategy = strategyOf(merged);
  const [only = ''] = ids;
  if (ids.length === 1) {
    // LoRAX answers with the adapter itself and ignores the rest.
    if (weights[0] === 1) return only;
    throw refusal(
      `got one id with the weight ${weights[0]}, expected the weight 1 or several ids; to scale an adapter name it as "adapter*weight"`,
    );
  }
  const parts = ids.map((reference, index) => ({ reference, weight: checkedWeight(weights[index] ?? 0) }));
  return { parts, recipe: { kind: 'lorax', ...strategy } };
}

/** Clients send null for what they leave out. */
function strategyOf(merged: MergedAdapters): FactorStrategy {
  const { density } = merged;
  const strategy = merged.merge_strategy ?? 'linear';
  const majoritySign = merged.majority_sign_method ?? 'total';
  if (strategy === 'linear') return { strategy };
  if (density === undefined || density === 0) {
    throw refusal(
      `got ${density === undefined ? 'no density' : 'the density 0, which keeps nothing'}, expected one above 0 and at most 1 for ${strategy}`,
    );
  }
  // LoRAX carries it as a float32, and how many values are kept depends on its last digits.
  const rounded = Math.fround(density);
  return strategy === 'dare_linear' ? { strategy, density: rounded } : { strategy, density: rounded, majoritySign };
}

function refusal(problem: string): AppError {
  return new AppError('invalid_request', `"merged_adapters": ${problem}`, { param: 'merged_adapters' });
}
