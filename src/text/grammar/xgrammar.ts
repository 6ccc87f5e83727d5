// The one file that knows the grammar engine (xgrammar as WebAssembly). It bounds all memory of WebAssembly, so it belongs in a
// thread of its own; the library says what is wrong by printing, then aborts.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction, constants } from 'node:vm';
import type * as Library from '@mlc-ai/web-xgrammar';
import { LRUCache } from 'lru-cache';
import type { Grammar } from './grammar.ts';

/** What a token stands for, by id: its raw bytes; empty for special tokens and ids without a token. */
export type VocabularyBytes = readonly Uint8Array[];

export interface TokenMatcher {
  /** Bit id % 32 of word id / 32: the token may come next. */
  mask(): Promise<Int32Array>;
  /** False when the token may not come next. */
  accept(tokenId: number): boolean;
  dispose(): void;
}

export interface GrammarEngine {
  /** Compiled grammars are kept by `owner`, so that no one learns from a short time what others use. @throws Error that says what is wrong. */
  open(grammar: Grammar, owner: string): Promise<TokenMatcher>;
  /** Grows only. */
  memoryBytes(): number;
}

/** Compiled grammars that stay; the library does not tell their size, the thread's memory bound counts them all. */
const KEPT_GRAMMARS = 32;
const SEPARATORS: [string, string] = [', ', ': '];

/** @param memoryLimitBytes The library aborts where it would need more. */
export async function loadGrammarEngine(
  vocabulary: VocabularyBytes,
  stopTokenIds: readonly number[],
  memoryLimitBytes: number,
): Promise<GrammarEngine> {
  const printed: string[] = [];
  const memory = boundMemory(memoryLimitBytes);
  const library = loadLibrary((line) => void printed.push(String(line)));
  // The declarations know strings only; the binding takes bytes, which are not always UTF-8.
  const tokens = vocabulary as unknown as string[];
  const info = await library.TokenizerInfo.createTokenizerInfo(tokens, 'raw', false, tokens.length, [...stopTokenIds]);
  const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false);
  const printable = withoutControls(vocabulary);
  const kept = new LRUCache<string, Library.CompiledGrammar>({ max: KEPT_GRAMMARS, dispose: (compiled) => compiled.dispose() });

  async function compiledGrammar(grammar: Grammar, owner: string): Promise<Library.CompiledGrammar> {
    const key = JSON.stringify([owner, grammar.kind, grammar.text]);
    const known = kept.get(key);
    if (known !== undefined) return known;
    printed.length = 0;
    try {
      const rules = await parsedGrammar(library, grammar);
      const ignored = complaint(printed, 'WARNING');
      if (ignored !== null) throw new Error(ignored);
      const compiled = await compiler.compileGrammar(rules);
      rules.dispose();
      kept.set(key, compiled);
      return compiled;
    } catch (error) {
      throw new Error(complaint(printed, 'FATAL') ?? complaint(printed, 'WARNING') ?? 'the grammar is too large or too deep', {
        cause: error,
      });
    }
  }

  return {
    async open(grammar, owner) {
      const matcher = await library.GrammarMatcher.createGrammarMatcher(await compiledGrammar(grammar, owner));
      return {
        mask: async () => {
          const mask = await matcher.getNextTokenBitmask();
          if (grammar.kind === 'json-schema')
            for (let word = 0; word < mask.length; word += 1) mask[word] = (mask[word] as number) & (printable[word] as number);
          return mask;
        },
        accept: (tokenId) => matcher.acceptToken(tokenId),
        dispose: () => matcher.dispose(),
      };
    },
    memoryBytes: () => memory.bytes,
  };
}

/**
 * Tokens without control characters, as a mask. JSON on one line has none, but the library lets them into strings that a length or a
 * pattern bounds.
 */
function withoutControls(vocabulary: VocabularyBytes): Int32Array {
  const mask = new Int32Array(Math.ceil(vocabulary.length / 32));
  for (const [id, bytes] of vocabulary.entries()) {
    if (bytes.every((byte) => byte >= 0x20)) mask[id >> 5] = (mask[id >> 5] as number) | (1 << (id & 31));
  }
  return mask;
}

function parsedGrammar(library: typeof Library, { kind, text }: Grammar): Promise<Library.Grammar> {
  switch (kind) {
    case 'json-schema':
      // One line as Python's json.dumps writes it: free white space can go on for ever, and the library bounds it only in places.
      return library.Grammar.fromJSONSchema(text, false, -1, SEPARATORS, true);
    case 'regex':
      return library.Grammar.fromStructuralTag({ type: 'regex', pattern: text });
    case 'ebnf':
      return library.Grammar.fromEBNF(text);
  }
}

/** The library's last printed message of a level, without the place in its source. */
function complaint(printed: readonly string[], level: 'FATAL' | 'WARNING'): string | null {
  const found = printed.findLast((line) => line.startsWith(`[${level}]`));
  return found === undefined ? null : found.replace(/^\[\w+\] \S+:\d+: (?:Check failed: \(.*\) is false: )?/, '').slice(0, 300);
}

/** 0.1.27 is a UMD file in a package that says it holds ES modules, so no loader takes it for what it is. It prints to the console that it is given. */
function loadLibrary(print: (line: unknown) => void): typeof Library {
  const file = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const module = { exports: {} };
  const wrapper = compileFunction(readFileSync(file, 'utf8'), ['exports', 'module', 'require', '__filename', 'console'], {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const load = wrapper as (...globals: unknown[]) => void;
  load(module.exports, module, createRequire(file), file, { log: print, error: print });
  return module.exports as typeof Library;
}

const PAGE_BYTES = 65_536;

/** Node's types know WebAssembly without its memory. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow: (this: WasmMemory, pageCount: number) => number;
}

/** WebAssembly memory of this thread may not grow beyond the limit. */
function boundMemory(limitBytes: number): { bytes: number } {
  const state = { bytes: 0 };
  const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: { readonly Memory: { readonly prototype: WasmMemory } } };
  const memory = wasm.Memory.prototype;
  const { grow } = memory;
  memory.grow = function boundedGrow(pageCount) {
    const wanted = this.buffer.byteLength + pageCount * PAGE_BYTES;
    if (wanted > limitBytes) throw new RangeError(`a grammar needs ${wanted} bytes, at most ${limitBytes} are given`);
    state.bytes = wanted;
    return grow.call(this, pageCount);
  };
  return state;
}
