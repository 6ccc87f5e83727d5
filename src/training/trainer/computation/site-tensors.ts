// Memory of the trained sites: parameters, their gradients and frozen factors, as tensors that graphs read in place.
import type { SiteInputs, Value } from '../../../graph/index.ts';
import { createTensor, HostMemory, type OrtEnvironment, type Tensor } from '../../../runtime/index.ts';
import type { TrainedParameter, TrainedSite } from '../ports.ts';
import type { Batch } from './batch.ts';

/** A graph input whose gradient goes to a parameter: the whole of it, or rows of it that tokens name. */
export interface GradientPart {
  readonly input: string;
  readonly parameter: TrainedParameter;
  /** null: the input is the parameter. Else the gradient is [ids, width]: `rows`: rows of the parameter; `columns`: columns of it. */
  readonly gathered: { readonly by: 'inputIds' | 'targets'; readonly axis: 'rows' | 'columns' } | null;
}

/** A graph input that is gathered anew for each batch. */
interface GatheredInput {
  readonly name: string;
  readonly source: Float32Array;
  readonly width: number;
  readonly gathered: NonNullable<GradientPart['gathered']>;
}

export interface FrozenSite {
  readonly site: TrainedSite;
  /** Squared norms of the frozen weight's rows, [out]; null where there is no DoRA. */
  readonly squares: Float32Array | null;
}

type PartName = TrainedParameter['part'];
type Factors = Pick<SiteInputs, 'a' | 'aRows' | 'b' | 'bRows'>;

/** Owns the memory and the tensors of all sites. */
export class SiteTensors {
  readonly parameters: TrainedParameter[] = [];
  readonly gradients: GradientPart[] = [];
  /** Bound once. */
  readonly fixed = new Map<string, Tensor>();
  readonly #environment: OrtEnvironment;
  readonly #memories: HostMemory[] = [];
  readonly #gathered: GatheredInput[] = [];

  constructor(environment: OrtEnvironment, siteInputs: readonly SiteInputs[], frozen: ReadonlyMap<string, FrozenSite>) {
    this.#environment = environment;
    for (const inputs of siteInputs) {
      const known = frozen.get(inputs.spec.site);
      if (!known) throw new Error(`no frozen values of ${inputs.spec.site}`);
      this.#addSite(inputs, known);
    }
  }

  /** Inputs that are bound for every batch; to be disposed behind it. */
  gather(batch: Batch): ReadonlyMap<string, Tensor> {
    return new Map(
      this.#gathered.map((input) => {
        const ids = batch[input.gathered.by];
        return [input.name, createTensor(this.#environment, 'float32', [ids.length, input.width], gatherRows(input, ids))];
      }),
    );
  }

  close(): void {
    for (const tensor of this.fixed.values()) tensor.dispose();
    for (const memory of this.#memories) memory.dispose();
  }

  #addSite(inputs: SiteInputs, { site, squares }: FrozenSite): void {
    const { rank } = inputs.spec;
    const a = this.#parameter(inputs, 'A', [rank, inputs.inFeatures]);
    const b = this.#parameter(inputs, 'B', fixedShape(inputs.b));
    this.#bindFactors(inputs, rank, { a: a.values, b: b.values });
    const columns = { by: 'inputIds', axis: 'columns' } as const;
    const rows = { by: 'targets', axis: 'rows' } as const;
    if (inputs.aRows) this.gradients.push({ input: inputs.aRows.name, parameter: a, gathered: columns });
    else if (inputs.a) this.gradients.push({ input: inputs.a.name, parameter: a, gathered: null });
    this.gradients.push({ input: inputs.b.name, parameter: b, gathered: null });
    if (inputs.bRows) this.gradients.push({ input: inputs.bRows.name, parameter: b, gathered: rows });
    if (inputs.origin && site.origin)
      this.#bindFactors(inputs.origin, rank, { a: this.#copied(site.origin.a), b: this.#copied(site.origin.b) });
    if (!inputs.magnitude) return;
    const magnitude = this.#parameter(inputs, 'magnitude', fixedShape(inputs.magnitude));
    this.#bind(inputs.magnitude, magnitude.values);
    this.gradients.push({ input: inputs.magnitude.name, parameter: magnitude, gathered: null });
    if (inputs.magnitudeRows) {
      this.#gathered.push({ name: inputs.magnitudeRows.name, source: magnitude.values, width: 1, gathered: rows });
      this.gradients.push({ input: inputs.magnitudeRows.name, parameter: magnitude, gathered: rows });
    }
    if (inputs.squares && squares) this.#bind(inputs.squares, this.#copied(squares));
  }

  #bindFactors(inputs: Factors, rank: number, { a, b }: { readonly a: Float32Array; readonly b: Float32Array }): void {
    this.#bind(inputs.a, a);
    this.#bind(inputs.b, b);
    const add = (input: Value | null, source: Float32Array, gathered: GatheredInput['gathered']): void => {
      if (input) this.#gathered.push({ name: input.name, source, width: rank, gathered });
    };
    add(inputs.aRows, a, { by: 'inputIds', axis: 'columns' });
    add(inputs.bRows, b, { by: 'targets', axis: 'rows' });
  }

  #parameter({ spec: { site } }: SiteInputs, part: PartName, shape: readonly number[]): TrainedParameter {
    const count = shape.reduce((product, size) => product * size, 1);
    const parameter = { site, part, shape, values: this.#floats(count), gradient: this.#floats(count) };
    this.parameters.push(parameter);
    return parameter;
  }

  #bind(input: Value | null, values: Float32Array): void {
    if (input) this.fixed.set(input.name, createTensor(this.#environment, 'float32', fixedShape(input), values));
  }

  #floats(count: number): Float32Array {
    const memory = HostMemory.allocate(count * 4);
    this.#memories.push(memory);
    return new Float32Array(memory.buffer, 0, count);
  }

  #copied(values: Float32Array): Float32Array {
    const copy = this.#floats(values.length);
    copy.set(values);
    return copy;
  }
}

/** [ids, width]: rows of a [n, width] matrix, or columns of a [width, n] one. */
function gatherRows({ source, width, gathered: { axis } }: GatheredInput, ids: BigInt64Array): Float32Array {
  const rows = new Float32Array(new ArrayBuffer(ids.length * width * 4));
  const stride = source.length / width;
  for (const [row, id] of ids.entries())
    for (let column = 0; column < width; column++)
      rows[row * width + column] = source[axis === 'rows' ? Number(id) * width + column : column * stride + Number(id)] ?? 0;
  return rows;
}

/** Adds `scale` times the gradient of one input to its parameter's. */
export function addGradient({ parameter, gathered }: GradientPart, found: Float32Array, scale: number, batch: Batch): void {
  const { gradient } = parameter;
  if (!gathered) {
    for (let index = 0; index < found.length; index++) gradient[index] = (gradient[index] ?? 0) + scale * (found[index] ?? 0);
    return;
  }
  const ids = batch[gathered.by];
  const width = ids.length === 0 ? 0 : found.length / ids.length;
  const stride = gradient.length / Math.max(1, width);
  for (const [row, id] of ids.entries())
    for (let column = 0; column < width; column++) {
      const place = gathered.axis === 'rows' ? Number(id) * width + column : column * stride + Number(id);
      gradient[place] = (gradient[place] ?? 0) + scale * (found[row * width + column] ?? 0);
    }
}

export function fixedShape({ name, shape }: Value): readonly number[] {
  return shape.map((size) => {
    if (typeof size !== 'number') throw new Error(`${name} has the size ${size}, expected a number`);
    return size;
  });
}
