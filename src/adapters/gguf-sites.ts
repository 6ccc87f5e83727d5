// How GGUF names the sites of a base. A tied head has no tensor there, so no adapter can name it.
import type { AdapterSite, BaseModelDescription } from '../models/index.ts';

export interface GgufSite {
  readonly site: AdapterSite;
  /** Of the base's weight; an adapter's tensors are this with `.lora_a` and `.lora_b`. */
  readonly ggufName: string;
  /** The rows of B are permuted as those of the weight are: those of this many heads; null: they are not. */
  readonly permutedHeads: number | null;
}

export function ggufSites({ sites, tensors }: BaseModelDescription): readonly GgufSite[] {
  const tensorOf = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return sites.flatMap((site) => {
    const tensor = tensorOf.get(`${site.module}.weight`);
    return tensor === undefined ? [] : [{ site, ggufName: tensor.ggufName, permutedHeads: tensor.permutedHeads }];
  });
}
