// How much of what two adapters change lies in the same directions: phi of the LoRA paper, section 7.2. Pure.
import type { Matrix } from 'ml-matrix';
import type { PackedAdapter } from '../packed.ts';
import { deltaDirections } from './delta-directions.ts';

/** Input directions are those of x that a site reads, output directions those that it writes: right and left singular vectors of dW. */
export type DirectionSide = 'input' | 'output';

export interface SiteSimilarity {
  readonly site: string;
  /** phi(i, j) in row i - 1, column j - 1: 1 when one span holds the other, max(i, j) / n for random spans of n dimensions. */
  readonly phi: readonly (readonly number[])[];
}

export interface AdapterComparison {
  readonly side: DirectionSide;
  /** Sites that both adapters change. */
  readonly sites: readonly SiteSimilarity[];
  readonly onlyFirst: readonly string[];
  readonly onlySecond: readonly string[];
}

/** @param maxRank - phi is computed for i and j up to this. */
export function compareAdapters(first: PackedAdapter, second: PackedAdapter, side: DirectionSide, maxRank: number): AdapterComparison {
  const others = new Map(second.header.sites.map((site) => [site.site, site]));
  const sites: SiteSimilarity[] = [];
  for (const site of first.header.sites) {
    const other = others.get(site.site);
    if (!other) continue;
    const left = deltaDirections(first, site)[side];
    const right = deltaDirections(second, other)[side];
    sites.push({ site: site.site, phi: subspaceSimilarity(left, right, maxRank) });
  }
  const common = new Set(sites.map(({ site }) => site));
  const rest = ({ header }: PackedAdapter): string[] => header.sites.map(({ site }) => site).filter((site) => !common.has(site));
  return { side, sites, onlyFirst: rest(first), onlySecond: rest(second) };
}

/**
 * phi(i, j) = ||U_i^T V_j||_F^2 / min(i, j) over the first i columns of U and the first j of V (arXiv 2106.09685, equation 4).
 * @param first - [n, k], orthonormal columns; `second` [n, m].
 */
export function subspaceSimilarity(first: Matrix, second: Matrix, maxRank: number): number[][] {
  const overlap = first.transpose().mmul(second);
  const rows = Math.min(overlap.rows, maxRank);
  const columns = Math.min(overlap.columns, maxRank);
  let above: readonly number[] = Array.from({ length: columns }, () => 0);
  return Array.from({ length: rows }, (_, i) => {
    let inRow = 0;
    const total = above.map((before, j) => {
      inRow += overlap.get(i, j) ** 2;
      return before + inRow;
    });
    above = total;
    return total.map((value, j) => value / (Math.min(i, j) + 1));
  });
}

/** Mean phi of sites with the same last part (`q`, `v`, …), cut to the ranks that all of them have. */
export function meanByModule(sites: readonly SiteSimilarity[]): readonly SiteSimilarity[] {
  const modules = [...new Set(sites.map(({ site }) => lastPart(site)))];
  return modules.map((site) => {
    const members = sites.filter((candidate) => lastPart(candidate.site) === site);
    const rows = Math.min(...members.map(({ phi }) => phi.length));
    const columns = Math.min(...members.map(({ phi }) => phi[0]?.length ?? 0));
    const mean = (i: number, j: number): number => members.reduce((total, { phi }) => total + (phi[i]?.[j] ?? 0), 0) / members.length;
    return { site, phi: Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (__, j) => mean(i, j))) };
  });
}

function lastPart(site: string): string {
  return site.split('.').at(-1) ?? site;
}
