// Calls over rows that decode and a chunk of one more row's prompt: one run of a graph for mixed calls. The two parts may lie in groups of different capacity.
import { type CommonProfile, ofRows } from '../../models/index.ts';
import type { Binding, OrtEnvironment } from '../../runtime/index.ts';
import type { PrefillCall } from '../ports.ts';
import { CallTensors } from './call-tensors.ts';
import type { LaneTensors } from './lane-tensors.ts';
import type { DecodingRow, GatheredRows, RowGroup } from './row-group.ts';
import type { ChosenSession, SessionTable } from './session-table.ts';

/** One session's binding. What is bound of a part stays bound while the same lanes come again. */
interface MixedBinding {
  readonly binding: Binding;
  readonly call: CallTensors;
  rows: LaneTensors | null;
  chunk: LaneTensors | null;
}

export interface MixedParts {
  readonly decode: { readonly group: RowGroup; readonly rows: readonly DecodingRow[] };
  readonly prefill: { readonly group: RowGroup; readonly call: PrefillCall; readonly positions: readonly number[] };
}

export class MixedCalls implements Disposable {
  readonly #environment: OrtEnvironment;
  readonly #sessions: SessionTable;
  readonly #vocabularySize: number;
  readonly #bindings = new Map<ChosenSession, MixedBinding>();

  constructor(environment: OrtEnvironment, sessions: SessionTable, vocabularySize: number) {
    this.#environment = environment;
    this.#sessions = sessions;
    this.#vocabularySize = vocabularySize;
  }

  /**
   * Lines of the result: of the first lanes of the decoding rows' group, then of the chunk's positions. Answers the lane of each decoding row, and how many
   * lanes there are.
   */
  run({ decode, prefill }: MixedParts, logitsFor: (lineCount: number) => Float32Array): Pick<GatheredRows, 'lanes' | 'range'> {
    const { group, call, positions } = prefill;
    const gathered = decode.group.gather(decode.rows);
    const { count } = gathered.range;
    const lane = group.rangeOf(call.row);
    const end = call.startPosition + call.tokenIds.length;
    // What is written for a lane that is no part of the decoding rows must not fall among what the chunk writes there.
    if (group === decode.group && lane.start < count) gathered.seqlens[lane.start] = Math.min(end, group.capacity - 1);
    const profile = leastProfile(decode, prefill);
    const chosen = this.#sessions.session({ profile, tokenCount: count + call.tokenIds.length, call: 'mixed' });
    const bound = this.#bound(chosen);
    rebind(bound, decode.group.tensors(gathered.range, profile, chosen), group.tensors(lane, profile, chosen));
    const lineCount = count + positions.length;
    bindCall(bound.call, gathered, call, positions);
    bound.call.output('logits', 'float32', [1, lineCount, this.#vocabularySize], logitsFor(lineCount));
    bound.binding.run();
    group.advance(call.row, end);
    return gathered;
  }

  dispose(): void {
    for (const { binding, call } of this.#bindings.values()) {
      binding.dispose();
      call.dispose();
    }
    this.#bindings.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #bound(chosen: ChosenSession): MixedBinding {
    const known = this.#bindings.get(chosen);
    if (known) return known;
    const binding = chosen.session.createBinding();
    const bound = { binding, call: new CallTensors(this.#environment, binding), rows: null, chunk: null };
    this.#bindings.set(chosen, bound);
    return bound;
  }
}

/** Lanes between the rows may hold any adapter: it is computed with for nobody, or not at all. */
function leastProfile({ group, rows }: MixedParts['decode'], { group: chunkGroup, call }: MixedParts['prefill']): CommonProfile {
  const profiles = [...rows.map(({ row }) => group.profile(group.rangeOf(row))), chunkGroup.profile(chunkGroup.rangeOf(call.row))];
  if (profiles.includes('full')) throw new Error('a row whose adapter changes more than linears can be no part of a mixed call');
  return profiles.includes('linear') ? 'linear' : 'none';
}

function rebind(bound: MixedBinding, rows: LaneTensors, chunk: LaneTensors): void {
  if (bound.rows !== rows) rows.bind(bound.binding, ofRows);
  if (bound.chunk !== chunk) chunk.bind(bound.binding);
  bound.rows = rows;
  bound.chunk = chunk;
}

function bindCall(
  call: CallTensors,
  { range: { count }, tokenIds, seqlens }: GatheredRows,
  { tokenIds: chunk, startPosition }: PrefillCall,
  positions: readonly number[],
): void {
  call.dispose();
  const ids = BigInt64Array.from([...tokenIds, ...chunk.map(BigInt)]);
  const asked = [...Array.from({ length: count }, (_, lane) => lane), ...positions.map((position) => count + position)];
  const end = startPosition + chunk.length;
  call.input('input_ids', 'int64', [1, ids.length], ids);
  call.input('logits_positions', 'int64', [1, asked.length, 1], BigInt64Array.from(asked, BigInt));
  call.input('parts.tokens', 'int64', [2], BigInt64Array.of(BigInt(count), BigInt(chunk.length)));
  call.input('parts.positions', 'int64', [2], BigInt64Array.of(BigInt(count), BigInt(positions.length)));
  call.input('seqlens_k', 'int32', [1], Int32Array.of(end - 1));
  call.input('total_sequence_length', 'int32', [1], Int32Array.of(end));
  call.input(ofRows('seqlens_k'), 'int32', [count], seqlens);
  call.input(ofRows('total_sequence_length'), 'int32', [1], Int32Array.of(Math.max(...seqlens) + 1));
}
