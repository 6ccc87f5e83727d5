// The factor s of y = W x + s B A x for one module, as PEFT computes it (tuners/lora/model.py, _create_and_replace; layer.py, update_layer).
import { quoted } from '../quoted.ts';
import type { PeftLoraConfig } from './config.ts';
import { matchPattern } from './patterns.ts';
import { CONFIG_FILE, invalidAdapter } from './refusal.ts';

/**
 * alpha / r, or alpha / sqrt(r) for rsLoRA, with the module's own alpha and rank where a pattern names it. The bias of lora_B is scaled by it too.
 * @param module path in the base model, for example `model.layers.0.self_attn.q_proj`.
 * @param rank rank that the module's tensors have.
 * @throws AppError invalid_adapter when the configuration says another rank; unsupported_adapter for a pattern that needs a regular expression.
 */
export function resolveScale(config: PeftLoraConfig, module: string, rank: number): number {
  const configured = matchPattern(config.rankPattern, 'rank_pattern', module) ?? config.rank;
  if (configured !== rank) {
    throw invalidAdapter(`module ${quoted(module)}: its tensors have rank ${rank}, ${CONFIG_FILE} says ${configured}`, 'r');
  }
  const alpha = matchPattern(config.alphaPattern, 'alpha_pattern', module) ?? config.alpha;
  return alpha / (config.useRslora ? Math.sqrt(rank) : rank);
}
