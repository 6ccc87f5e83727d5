// What an adapter does to each matrix of its base: size, effective rank, amplified directions. Pure but for reading the base's weights.
import type { Matrix } from 'ml-matrix';
import type { AdapterSite, BaseModelDescription, BaseWeights } from '../../models/index.ts';
import { packedArray, type PackedAdapter, type PackedSite } from '../packed.ts';
import { deltaDirections, type DeltaDirections } from './delta-directions.ts';

export interface SiteInsight {
  /** Site id, for example `layers.3.q`. */
  readonly site: string;
  readonly layer: number | null;
  readonly module: string;
  readonly rank: number;
  /** Frobenius norm of dW = s B A. */
  readonly deltaNorm: number;
  /** The same over the norm of the base's W. */
  readonly relativeNorm: number;
  /** Of dW, descending. */
  readonly singularValues: readonly number[];
  /** exp of the entropy of the singular values' shares (Roy and Vetterli, EUSIPCO 2007); 0 when dW is 0. */
  readonly effectiveRank: number;
  /** Directions that hold 90 % of the squared norm. */
  readonly rank90: number;
  /**
   * ||dW|| / ||U^T W V||, with U and V the singular directions of dW: how much it strengthens what W has in these directions (LoRA,
   * arXiv 2106.09685, section 7.3). null when W or dW has nothing there.
   */
  readonly amplification: number | null;
  /** DoRA: mean distance of the gain from 1; null without DoRA. */
  readonly gainShift: number | null;
  /** Bytes in the packed form. */
  readonly bytes: number;
}

export interface AdapterInsight {
  readonly rank: number;
  readonly bytes: number;
  /** Values that were trained: those of A, B, magnitudes and biases. */
  readonly parameters: number;
  readonly sites: readonly SiteInsight[];
}

const ENERGY_SHARE = 0.9;

export async function inspectAdapter(adapter: PackedAdapter, base: BaseModelDescription, weights: BaseWeights): Promise<AdapterInsight> {
  const sites: SiteInsight[] = [];
  for (const packed of adapter.header.sites) sites.push(await inspectSite(adapter, packed, siteOf(base, packed.site), weights));
  return {
    rank: Math.max(0, ...sites.map(({ rank }) => rank)),
    bytes: adapter.bytes.byteLength,
    parameters: adapter.header.sites.reduce((total, site) => total + valueCount(site), 0),
    sites,
  };
}

function siteOf(base: BaseModelDescription, id: string): AdapterSite {
  const site = base.sites.find((candidate) => candidate.id === id);
  if (!site) throw new Error(`the base has no site ${id}`);
  return site;
}

async function inspectSite(adapter: PackedAdapter, packed: PackedSite, site: AdapterSite, weights: BaseWeights): Promise<SiteInsight> {
  const directions = deltaDirections(adapter, packed);
  const weight = await weights.readWeight(site.module);
  const energies = directions.singularValues.map((value) => value ** 2);
  const deltaNorm = Math.sqrt(sum(energies));
  const projected = norm(projectedWeight(weight, site, directions));
  return {
    site: site.id,
    layer: site.layer,
    module: site.module.split('.').at(-1) ?? site.module,
    rank: packed.rank,
    deltaNorm,
    relativeNorm: deltaNorm / norm(weight),
    singularValues: directions.singularValues,
    effectiveRank: effectiveRank(directions.singularValues),
    rank90: directionsHolding(ENERGY_SHARE, energies),
    amplification: deltaNorm > 0 && projected > 0 ? deltaNorm / projected : null,
    gainShift: packed.gain ? meanShift(packedArray(adapter, packed.gain)) : null,
    bytes: valueCount(packed) * Float32Array.BYTES_PER_ELEMENT,
  };
}

export function effectiveRank(singularValues: readonly number[]): number {
  const total = sum(singularValues);
  if (total === 0) return 0;
  const shares = singularValues.map((value) => value / total).filter((share) => share > 0);
  return Math.exp(-sum(shares.map((share) => share * Math.log(share))));
}

/** The smallest number of leading values that make up `share` of the total; 0 when that is 0. */
export function directionsHolding(share: number, energies: readonly number[]): number {
  const wanted = share * sum(energies);
  if (wanted === 0) return 0;
  let held = 0;
  const last = energies.findIndex((energy) => (held += energy) >= wanted);
  return last + 1;
}

/** U^T W V as a row-major array, without reading W twice. An embedding's table is [vocabulary, hidden] = W^T. */
function projectedWeight(
  weight: Float32Array,
  { kind, inFeatures, outFeatures }: AdapterSite,
  { input, output }: DeltaDirections,
): Float64Array {
  const [rows, columns] = kind === 'embedding' ? [input, output] : [output, input];
  const width = kind === 'embedding' ? outFeatures : inFeatures;
  const count = input.columns;
  const right = columnsOf(columns);
  const product = new Float64Array(count * count);
  const line = new Float64Array(count);
  for (let row = 0; row < rows.rows; row += 1) {
    const start = row * width;
    right.forEach((column, k) => {
      let dot = 0;
      for (let index = 0; index < width; index += 1) dot += (weight[start + index] ?? 0) * (column[index] ?? 0);
      line[k] = dot;
    });
    for (let left = 0; left < count; left += 1) {
      const factor = rows.get(row, left);
      for (let k = 0; k < count; k += 1) product[left * count + k] = (product[left * count + k] ?? 0) + factor * (line[k] ?? 0);
    }
  }
  return product;
}

function columnsOf(matrix: Matrix): readonly Float64Array[] {
  return Array.from({ length: matrix.columns }, (_, index) => Float64Array.from(matrix.getColumn(index)));
}

function valueCount({ a, b, gain, bias }: PackedSite): number {
  return a.length + b.length + (gain?.length ?? 0) + (bias?.length ?? 0);
}

function meanShift(gain: Float32Array): number {
  return gain.reduce((total, value) => total + Math.abs(value - 1), 0) / gain.length;
}

function norm(values: Float32Array | Float64Array): number {
  let squares = 0;
  for (const value of values) squares += value ** 2;
  return Math.sqrt(squares);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
