// A session binding over some lanes of a row group: KV and adapter tensors stay bound, token inputs change with each call.
import { packedArray } from '../../adapters/packed.ts';
import type { CompiledGraph, LoraInputGroup } from '../../models/index.ts';
import type { Binding, OrtEnvironment, Session } from '../../runtime/index.ts';
import type { AdapterLanes } from './adapter-lanes.ts';
import { CallTensors } from './call-tensors.ts';
import type { LaneRange, LaneTensors } from './lane-tensors.ts';

export interface TokenInputs {
  /** [lanes, tokens], row-major. */
  readonly tokenIds: BigInt64Array;
  /** Length of each lane's sequence after this call, minus 1. */
  readonly seqlens: Int32Array;
  /** Indices into the tokens of which logits are wanted, [lanes, positions]. */
  readonly logitsPositions: BigInt64Array;
}

interface BoundLanesOptions extends LaneRange {
  readonly environment: OrtEnvironment;
  readonly session: Session;
  readonly graph: CompiledGraph;
  readonly vocabularySize: number;
  /** Outlive this object. */
  readonly tensors: LaneTensors;
  readonly adapters: AdapterLanes;
}

export class BoundLanes implements Disposable {
  readonly #options: BoundLanesOptions;
  readonly #binding: Binding;
  readonly #call: CallTensors;

  constructor(options: BoundLanesOptions) {
    this.#options = options;
    this.#binding = options.session.createBinding();
    this.#call = new CallTensors(options.environment, this.#binding);
    options.tensors.bind(this.#binding);
  }

  /** Runs one call; `logits` [lanes, positions, vocabulary] receives the result. */
  run(inputs: TokenInputs, logits: Float32Array): void {
    const { count, graph, vocabularySize } = this.#options;
    const tokenCount = inputs.tokenIds.length / count;
    const positionCount = inputs.logitsPositions.length / count;
    const call = this.#call;
    call.dispose();
    call.input('input_ids', 'int64', [count, tokenCount], inputs.tokenIds);
    call.input('seqlens_k', 'int32', [count], inputs.seqlens);
    call.input('total_sequence_length', 'int32', [1], Int32Array.of(Math.max(...inputs.seqlens) + 1));
    call.input('logits_positions', 'int64', [count, positionCount, 1], inputs.logitsPositions);
    const embedding = graph.loraGroups.find(({ kind }) => kind === 'embedding');
    if (embedding) this.#bindEmbeddingRows(embedding, inputs.tokenIds, tokenCount);
    call.output('logits', 'float32', [count, positionCount, vocabularySize], logits);
    this.#binding.run();
  }

  dispose(): void {
    this.#binding.dispose();
    this.#call.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The embedding's side path gets the rows of A for the tokens at hand: [lanes, tokens, rank]. */
  #bindEmbeddingRows(group: LoraInputGroup, tokenIds: BigInt64Array, tokenCount: number): void {
    const { adapters, start, count } = this.#options;
    const layout = adapters.layout?.groups.find((candidate) => candidate.group.id === group.id);
    if (!layout) throw new Error(`no adapter memory is laid out for ${group.id}`);
    const { rankSum } = layout;
    const rows = new Float32Array(new ArrayBuffer(count * tokenCount * rankSum * 4));
    for (let lane = 0; lane < count; lane++) {
      const adapter = adapters.adapter(start + lane);
      const site = adapter?.header.sites.find((candidate) => candidate.site === group.parts[0]?.site);
      if (!adapter || !site) continue;
      const a = packedArray(adapter, site.a);
      for (let token = lane * tokenCount; token < (lane + 1) * tokenCount; token++) {
        const from = Number(tokenIds[token]) * site.rank;
        rows.set(a.subarray(from, from + site.rank), token * rankSum);
      }
    }
    this.#call.input(group.inputs.a, 'float32', [count, tokenCount, rankSum], rows);
  }
}
