// What calls have cost lately: moving estimates in milliseconds, by what makes calls differ. Fed with measurements; knows no clock.

/** Chunks of a prompt are multiples of this, so that few shapes occur and each is soon measured. Also the least chunk. */
export const CHUNK_STEP = 4;

/** Of chunks of prompts. */
export interface ChunkCosts {
  /** Size class and position class → one prompt token. Larger chunks are cheaper a token, later positions dearer. */
  readonly msPerToken: Map<string, number>;
  /**
   * How much longer chunks took lately than these estimates say. Without it, one slow moment of the machine would rule a size out for ever: what
   * is not chosen is not measured again.
   */
  slowdown: number;
}

export interface CallCosts {
  /** Lane → one decode call. */
  readonly decodeMs: Map<string, number>;
  /** Prefill calls. */
  readonly prefill: ChunkCosts;
  /** What a mixed call takes longer than the decode call in it. */
  readonly mixed: ChunkCosts;
  /** Copying an adapter into a row. */
  joinMs: number;
  /** Moving a row to or from a merged adapter. */
  moveMs: number;
}

/** Weight of the newest measurement. */
const NEWEST_SHARE = 0.3;
/** The same for what belongs to a size and not to the moment. */
const LASTING_SHARE = 0.1;
/** A pause of the machine counts as no more than this many times the estimate. */
const OUTLIER_FACTOR = 2;
/** A measurement that is below the noise of what is taken off it. */
const LEAST_MS = 0.1;
/** Positions of the first class; each further class is twice as wide. */
const FIRST_POSITIONS = 512;

export function createCosts(): CallCosts {
  const chunks = (): ChunkCosts => ({ msPerToken: new Map(), slowdown: 1 });
  return { decodeMs: new Map(), prefill: chunks(), mixed: chunks(), joinMs: 0, moveMs: 0 };
}

export function recordDecode(costs: CallCosts, lane: string, ms: number): void {
  costs.decodeMs.set(lane, blend(costs.decodeMs.get(lane), ms, NEWEST_SHARE));
}

export function recordChunk(costs: ChunkCosts, tokenCount: number, position: number, ms: number): void {
  const key = classKey(sizeClass(tokenCount), positionClass(position));
  const known = costs.msPerToken.get(key);
  if (known !== undefined && known > 0) costs.slowdown = blend(costs.slowdown, ms / (known * tokenCount), NEWEST_SHARE);
  costs.msPerToken.set(key, blend(known, ms / tokenCount / costs.slowdown, LASTING_SHARE));
}

/** As `recordChunk` for a mixed call: only what it took longer than its lane's decode calls do. */
export function recordMixed(costs: CallCosts, lane: string, tokenCount: number, position: number, ms: number): void {
  const decodeMs = costs.decodeMs.get(lane);
  if (decodeMs !== undefined) recordChunk(costs.mixed, tokenCount, position, Math.max(LEAST_MS, ms - decodeMs));
}

export function recordJoin(costs: CallCosts, ms: number): void {
  costs.joinMs = blend(costs.joinMs === 0 ? undefined : costs.joinMs, ms, NEWEST_SHARE);
}

export function recordMove(costs: CallCosts, ms: number): void {
  costs.moveMs = blend(costs.moveMs === 0 ? undefined : costs.moveMs, ms, NEWEST_SHARE);
}

/**
 * Milliseconds of a chunk; Infinity while nothing like it was measured. What was never measured at these positions is taken as it was
 * at earlier ones, which is too little rather than too much: so it is tried, and its first call corrects that.
 */
export function predictChunk(costs: ChunkCosts, tokenCount: number, position: number): number {
  const size = sizeClass(tokenCount);
  const earlier = Array.from({ length: positionClass(position) + 1 }, (_, index) => positionClass(position) - index);
  const rates = [...earlier.map((at) => costs.msPerToken.get(classKey(size, at))), ...earlier.map((at) => neighbourRate(costs, size, at))];
  const rate = rates.find((candidate) => candidate !== undefined);
  return rate === undefined ? Infinity : rate * tokenCount * costs.slowdown;
}

/** Mean of the nearest smaller and the nearest larger size that were measured. */
function neighbourRate(costs: ChunkCosts, size: number, position: number): number | undefined {
  const rate = (candidate: number): number | undefined => costs.msPerToken.get(classKey(candidate, position));
  const measured = Array.from({ length: LARGEST_SIZE_CLASS + 1 }, (_, candidate) => candidate).filter((each) => rate(each) !== undefined);
  const nearest = [measured.findLast((candidate) => candidate < size), measured.find((candidate) => candidate > size)];
  const rates = nearest.flatMap((candidate) => (candidate === undefined ? [] : (rate(candidate) ?? [])));
  return rates.length === 0 ? undefined : rates.reduce((sum, value) => sum + value, 0) / rates.length;
}

const LARGEST_SIZE_CLASS = 7;

/** 0 below the least chunk, then one class each time the size doubles. */
function sizeClass(tokenCount: number): number {
  return Math.min(LARGEST_SIZE_CLASS, Math.max(0, Math.floor(Math.log2(tokenCount / CHUNK_STEP)) + 1));
}

function positionClass(position: number): number {
  return Math.floor(Math.log2(position / FIRST_POSITIONS + 1));
}

function classKey(size: number, position: number): string {
  return `${size}:${position}`;
}

function blend(estimate: number | undefined, ms: number, share: number): number {
  if (estimate === undefined) return ms;
  return estimate + share * (Math.min(ms, OUTLIER_FACTOR * estimate) - estimate);
}
