// What a pass is, and the runner of a list of them: the graph is verified after each, and a failure names the pass.
import type { Graph } from '../ir/graph.ts';
import { verify } from '../verify.ts';
import type { LoraGroup, SideLevels } from './lora-group.ts';

export interface PassResult {
  /** Whether the graph differs from before. */
  readonly modified: boolean;
  /** What happened how often. */
  readonly counts: Readonly<Record<string, number>>;
  /** Adapter inputs that the pass gave to the graph. */
  readonly loraGroups?: readonly LoraGroup[];
  /** Groups whose A became levels by the pass. */
  readonly sideLevels?: readonly SideLevels[];
}

/** Rewrites a graph in place. */
export interface Pass {
  readonly name: string;
  /** Throws an Error when the graph is not what the pass takes. */
  requires?(graph: Graph): void;
  run(graph: Graph): PassResult;
  /** Throws an Error when the pass missed its goal. */
  ensures?(graph: Graph): void;
}

export interface PassReport extends PassResult {
  readonly pass: string;
}

/** Runs passes in order. @throws Error that names the pass after which the graph is wrong. */
export function runPasses(graph: Graph, passes: readonly Pass[]): readonly PassReport[] {
  verify(graph);
  return passes.map((pass, index) => {
    try {
      pass.requires?.(graph);
      const result = pass.run(graph);
      verify(graph);
      pass.ensures?.(graph);
      return { pass: pass.name, ...result };
    } catch (error) {
      const before = passes.slice(0, index).map(({ name }) => name);
      throw new Error(
        `pass ${pass.name} (after ${before.join(', ') || 'none'}): ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  });
}
