// One written form and one cache key for every mix that computes the same: parts of equal content joined, order fixed where it does not count.
import type { Digest } from '../../core/index.ts';
import type { AdapterVersion } from '../port.ts';
import type { MixRecipe } from './mix.ts';

export interface PinnedPart {
  readonly version: AdapterVersion;
  readonly weight: number;
}

export interface CanonicalMix {
  /** Printable ASCII, for example `poet@3*0.7,sql@1*0.3`; LoRAX's strategies follow after ";". */
  readonly label: string;
  readonly recipe: MixRecipe;
  /** Empty: the mix is the base. One part of weight 1 that is summed: the mix is that adapter. */
  readonly parts: readonly PinnedPart[];
}

/** Weights are joined and shown to so many significant digits: 0.1 + 0.2 is 0.3. */
const WEIGHT_DIGITS = 12;

/** A sum has no order, adds the weights of equal parts and leaves out what has none. A merge of factors keeps its parts as they came. */
export function canonicalMix(parts: readonly PinnedPart[], recipe: MixRecipe): CanonicalMix {
  if (recipe.kind === 'lorax') return { label: [parts.map(shownPart).join(','), ...shownStrategy(recipe)].join(';'), recipe, parts };
  const joined = new Map<Digest, PinnedPart>();
  const ordered = parts.toSorted((left, right) => (labelOf(left.version) < labelOf(right.version) ? -1 : 1));
  for (const { version, weight } of ordered) {
    const before = joined.get(version.digest);
    const total = Number(((before?.weight ?? 0) + weight).toPrecision(WEIGHT_DIGITS));
    joined.set(version.digest, { version: before?.version ?? version, weight: total });
  }
  const all = [...joined.values()];
  const [only] = all;
  const isPlain = all.length === 1 && only?.weight === 1;
  return { label: isPlain ? labelOf(only.version) : all.map(shownPart).join(','), recipe, parts: all.filter(({ weight }) => weight !== 0) };
}

/** For example `poet@3`. */
export function labelOf({ name, version }: Pick<AdapterVersion, 'name' | 'version'>): string {
  return `${name}@${version}`;
}

function shownPart({ version, weight }: PinnedPart): string {
  return `${labelOf(version)}*${weight + 0}`;
}

function shownStrategy(recipe: Extract<MixRecipe, { kind: 'lorax' }>): readonly string[] {
  switch (recipe.strategy) {
    case 'linear':
      return ['linear'];
    case 'dare_linear':
      return [recipe.strategy, `density=${shownDensity(recipe.density)}`];
    case 'ties':
    case 'dare_ties':
      return [recipe.strategy, `density=${shownDensity(recipe.density)}`, `majority_sign_method=${recipe.majoritySign}`];
  }
}

/** A density is a float32, which has seven digits. */
function shownDensity(density: number): string {
  return String(Number(density.toPrecision(7)));
}
