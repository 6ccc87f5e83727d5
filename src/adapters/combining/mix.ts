// What a mix of adapters is, and the grammar that names one: adapter "*" weight {"," adapter "*" weight}. Pure; knows no registry.
import { AppError } from '../../core/index.ts';

/** How the parts become one change of the base. */
export type MixRecipe =
  /** The sum of w dW over the parts: exact, at the sum of their ranks. */
  | { readonly kind: 'sum' }
  /** A and B of the parts merged each by itself, as LoRAX's `merged_adapters` does; see lorax-merge.ts. */
  | ({ readonly kind: 'lorax' } & FactorStrategy);

export type FactorStrategy =
  | { readonly strategy: 'linear' }
  | { readonly strategy: 'ties' | 'dare_ties'; readonly density: number; readonly majoritySign: MajoritySign }
  | { readonly strategy: 'dare_linear'; readonly density: number };

/** Which sign wins at an element: that of the sum of the values, or that of most values. */
export type MajoritySign = 'total' | 'frequency';

export interface MixPart {
  /** An adapter reference, as `AdapterRegistry.lease` takes it. */
  readonly reference: string;
  readonly weight: number;
}

export interface Mix {
  readonly parts: readonly MixPart[];
  readonly recipe: MixRecipe;
}

export const MAX_MIX_PARTS = 16;
/** Larger weights serve nobody, and float32 keeps its room. */
export const MAX_MIX_WEIGHT = 100;

const GRAMMAR = 'a*0.7,b*0.3';
const NUMBER = /^-?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?$/;
const SHOWN_CHARACTERS = 40;

/**
 * Reads a reference that may name a mix; undefined: it has neither "*" nor ",", so it names one adapter.
 * @throws AppError `invalid_request` for what is neither. Whether the adapters exist is not its matter.
 */
export function parseMix(text: string): Mix | undefined {
  if (!/[*,]/.test(text)) return undefined;
  const pieces = text.split(',');
  requirePartCount(pieces.length);
  return { parts: pieces.map((piece) => parsePart(piece, pieces.length)), recipe: { kind: 'sum' } };
}

function parsePart(piece: string, count: number): MixPart {
  const [reference = '', weight, ...more] = piece.split('*').map((side) => side.trim());
  const problem = partProblem(reference, weight, more.length);
  if (problem !== null) throw refusal(`${count === 1 ? 'the part' : 'a part'} ${shown(piece)} ${problem}, expected a mix like ${GRAMMAR}`);
  return { reference, weight: checkedWeight(Number(weight), String(weight)) };
}

function partProblem(reference: string, weight: string | undefined, moreCount: number): string | null {
  if (weight === undefined) return 'has no weight';
  if (moreCount > 0) return 'has more than one "*"';
  if (reference === '') return 'names no adapter';
  return NUMBER.test(weight) ? null : `has the weight ${shown(weight)}, which is no decimal number`;
}

/** @throws AppError `invalid_request` when there are none or too many. */
export function requirePartCount(count: number): void {
  if (count < 1 || count > MAX_MIX_PARTS) throw refusal(`got ${count} adapters, expected 1 to ${MAX_MIX_PARTS}`);
}

/** @throws AppError `invalid_request` for a weight that is not finite or too large. */
export function checkedWeight(weight: number, written = String(weight)): number {
  if (Math.abs(weight) <= MAX_MIX_WEIGHT) return weight + 0;
  throw refusal(`got the weight ${shown(written)}, expected a number from -${MAX_MIX_WEIGHT} to ${MAX_MIX_WEIGHT}`);
}

function refusal(problem: string): AppError {
  return new AppError('invalid_request', `mix of adapters: ${problem}`, { param: 'adapter' });
}

/** What came, short and in printable ASCII: it goes into answers and logs. */
function shown(text: string): string {
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return JSON.stringify(cut);
}
