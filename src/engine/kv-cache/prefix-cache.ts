// Which blocks of keys and values are kept for prompts to come, and in which slot of the executor each lies. Holds no bytes.
// A block's key is its parent's identity and its own tokens, whole: equal keys mean equal tenant, adapter and tokens from the first on.
import { LRUCache } from 'lru-cache';
import { BLOCK_POSITIONS } from '../ports.ts';

/** Beginning of a chain: what must be equal besides the tokens. */
export interface PrefixScope {
  /** Tenants never share blocks: a fast answer would tell one what another has asked. */
  readonly group: string;
  readonly adapterDigest: string | null;
}

/** A cached block, or the beginning of a chain. */
export interface PrefixNode {
  /** Never used again, so a block whose parent has gone can never be found by mistake. */
  readonly id: string;
  readonly parent: CachedBlock | null;
  /** Blocks before this one. */
  readonly depth: number;
}

export interface CachedBlock extends PrefixNode {
  readonly key: string;
  /** Place of its bytes, 0 to slotCount - 1. */
  readonly slot: number;
}

/** Where a row stands in its chain of blocks. */
export interface PrefixPlace {
  readonly node: PrefixNode;
  /** Positions that the chain covers up to here, a multiple of the block size. */
  readonly positions: number;
  /** Key of the next block; null when the row has not enough tokens for one. */
  readonly nextKey: string | null;
}

export class PrefixCache {
  readonly slotCount: number;
  readonly #blocks: LRUCache<string, CachedBlock>;
  readonly #freeSlots: number[];
  #nextId = 0;

  /** @param slotCount Blocks that may be kept; 0 keeps none. */
  constructor(slotCount: number) {
    this.slotCount = slotCount;
    this.#freeSlots = Array.from({ length: slotCount }, (_, index) => slotCount - 1 - index);
    this.#blocks = new LRUCache({ max: Math.max(1, slotCount), dispose: ({ slot }) => this.#freeSlots.push(slot) });
  }

  get size(): number {
    return this.#blocks.size;
  }

  root({ group, adapterDigest }: PrefixScope): PrefixNode {
    return { id: JSON.stringify([group, adapterDigest]), parent: null, depth: 0 };
  }

  /** Key of the block after `node` that holds tokens `start` to `start` + 15; null when there are fewer or the chain is too long to keep. */
  keyAfter(node: PrefixNode, tokens: readonly number[], start: number): string | null {
    const end = start + BLOCK_POSITIONS;
    // One chain may take half of the cache, or a long prompt would drive out its own beginning.
    if (end > tokens.length || node.depth >= this.slotCount / 2) return null;
    return `${node.id}:${tokens.slice(start, end).join(',')}`;
  }

  find(key: string): CachedBlock | null {
    return this.#blocks.peek(key) ?? null;
  }

  /** A new block after `parent`, whose slot the caller fills; null when the parent has gone meanwhile. The least recently used one makes room. */
  add(key: string, parent: PrefixNode): CachedBlock | null {
    const parentBlock = isBlock(parent) ? parent : null;
    if (parentBlock !== null && this.find(parentBlock.key) !== parentBlock) return null;
    if (this.#freeSlots.length === 0) this.#blocks.pop();
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return null;
    this.#nextId += 1;
    const block: CachedBlock = { id: String(this.#nextId), key, slot, parent: parentBlock, depth: parent.depth + 1 };
    this.#blocks.set(key, block);
    return block;
  }

  /** Marks a chain as used, the last block first: a beginning is then always younger than what follows it, and outlives it. */
  touch(node: PrefixNode): void {
    for (let block = isBlock(node) ? node : null; block !== null; block = block.parent) this.#blocks.get(block.key);
  }
}

function isBlock(node: PrefixNode): node is CachedBlock {
  return 'slot' in node;
}
