// The adapter inputs of a gate and an up projection that share one product, as a compiled graph names them.
import type { LoraInputGroup } from '../../src/models/index.ts';

export function gateUpGroup(inFeatures: number, inputs: LoraInputGroup['inputs']): LoraInputGroup {
  return {
    id: 'layers.0.gate_up',
    kind: 'linear',
    inFeatures,
    parts: [
      { site: 'layers.0.gate', outFeatures: 2 },
      { site: 'layers.0.up', outFeatures: 1 },
    ],
    inputs,
  };
}
