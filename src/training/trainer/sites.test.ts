import { describe, expect, it } from 'vitest';
import { TINY_BASE } from '../../../test/support/tiny-base.ts';
import { resolveHyperparameters } from '../defaults.ts';
import { resolveSites, targetModuleNames } from './sites.ts';

function sites(lora: Parameters<typeof resolveHyperparameters>[0]['lora']) {
  return resolveSites(resolveHyperparameters({ lora: lora ?? {} }, 1, 256).lora, TINY_BASE);
}

describe('the places that a job trains', () => {
  it('are those that are named, in the order of evaluation', () => {
    const resolved = sites({ targetModules: ['lm_head', 'v_proj', 'embed_tokens'] });
    expect(resolved.map(({ site }) => site.id)).toEqual(['embed', 'layers.0.v', 'layers.1.v', 'head']);
    expect(targetModuleNames(resolved)).toEqual(['embed_tokens', 'lm_head', 'v_proj']);
  });

  it('are every linear of the layers for all-linear', () => {
    expect(sites({ targetModules: ['all-linear'] })).toHaveLength(14);
    expect(sites({ targetModules: ['all-linear', 'lm_head'] })).toHaveLength(15);
  });

  it('have the rank and scale of the first pattern that ends their path', () => {
    const rankPattern = { 'layers.1.self_attn.q_proj': 2, q_proj: 4 };
    expect(sites({ alpha: 16, rankPattern }).map(({ rank, scale }) => [rank, scale])).toEqual([
      [4, 4],
      [8, 2],
      [2, 8],
      [8, 2],
    ]);
    expect(sites({ alpha: 16, useRslora: true, rankPattern })[0]?.scale).toBe(8);
  });

  it('must be there', () => {
    expect(() => sites({ targetModules: ['q_proj', 'w_pack'] })).toThrow(
      /lora.target_modules: got "w_pack", expected some of embed_tokens, q_proj/,
    );
    expect(() => sites({ targetModules: [] })).toThrow('got no module');
    expect(() => sites({ rankPattern: { k_proj: 2 } })).toThrow(/lora.rank_pattern: got "k_proj"/);
  });
});
