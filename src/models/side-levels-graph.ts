// The graph of a form that makes levels of adapters.
import type { CompiledDecoder, RowWise } from '../architectures/index.ts';
import { type Graph, sideLevelsGraph } from '../graph/index.ts';
import type { GraphProfile, SideLevelsGraph } from './compiled-model.ts';

/** For the sites of all groups that take them in some profile: `full` has them all. */
export function sideLevelsOf(
  decoders: readonly (Pick<CompiledDecoder, 'loraGroups' | 'sideLevels'> & { readonly profile: GraphProfile })[],
  { levels }: RowWise,
): { readonly graph: Graph } & Pick<SideLevelsGraph, 'stacks' | 'groupIds'> {
  const { sideLevels = [], loraGroups = [] } = decoders.find(({ profile }) => profile === 'full') ?? {};
  const parts = new Map(loraGroups.map((group) => [group.id, group.parts]));
  // Columns have scales of their own, so a site's levels do not depend on what lies beside it in its group.
  const sites = sideLevels.flatMap((group) => (parts.get(group.id) ?? []).map(({ site }) => ({ ...group, id: site })));
  const { graph, stacks } = sideLevelsGraph(sites, levels);
  return {
    graph,
    stacks: stacks.map(({ ids, ...stack }) => ({ ...stack, sites: ids })),
    groupIds: sideLevels.map(({ id }) => id),
  };
}
