// Host memory for tensors: page-aligned, off the JavaScript heap, given back page by page. Files are mapped, not read.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import koffi from 'koffi';

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MADV_DONTNEED = 4;
const PAGE_BYTES = 4096;

/** What is left to unmap when a buffer is gone. */
interface Held {
  readonly address: unknown;
  readonly bytes: number;
}

interface PageCalls {
  map(bytes: number, protection: number, flags: number, file: number): ArrayBuffer;
  unmap(view: ArrayBuffer): void;
  held(view: ArrayBuffer): Held;
  release(held: Held): void;
  advise(view: Uint8Array, advice: number): void;
}

/** Linux alone has these calls with these constants; elsewhere memory is an ArrayBuffer and files are read. */
const pages: PageCalls | null = process.platform === 'linux' ? linuxPages() : null;

function linuxPages(): PageCalls {
  const libc = koffi.load(null);
  const mmap = libc.func('void* mmap(void* at, size_t bytes, int protection, int flags, int file, int64_t offset)');
  const munmap = libc.func('int munmap(void* at, size_t bytes)');
  const madvise = libc.func('int madvise(void* at, size_t bytes, int advice)');
  return {
    map(bytes, protection, flags, file) {
      const address: unknown = mmap(null, bytes, protection, flags, file, 0);
      if (address === null || BigInt(koffi.address(address)) === 0xffffffffffffffffn)
        throw new Error(`out of address space: could not map ${bytes} bytes`);
      return koffi.view(address, bytes);
    },
    unmap: (view) => void munmap(view, view.byteLength),
    held: (view) => ({ address: koffi.address(view), bytes: view.byteLength }),
    release: ({ address, bytes }) => void munmap(address, bytes),
    advise: (view, advice) => void madvise(view, view.byteLength, advice),
  };
}

/** Where the memory of an array lies, which V8 must not move. */
export function addressOf({ buffer, byteOffset }: ArrayBufferView): bigint {
  return koffi.address(buffer) + BigInt(byteOffset);
}

/** Memory by its address, or that of an array. */
export function bytesOf({ data, bytes }: { readonly data: unknown; readonly bytes: number }): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, bytes);
  if (typeof data !== 'bigint') throw new Error('memory is neither an array nor an address');
  return new Uint8Array(koffi.view(data, bytes));
}

const collected = new FinalizationRegistry<Held>((held) => pages?.release(held));

/** A block of memory with one owner. Typed arrays over `buffer` must not be used after dispose. */
export class HostMemory implements Disposable {
  readonly #mapped: boolean;
  #buffer: ArrayBuffer | null;

  private constructor(buffer: ArrayBuffer, mapped: boolean) {
    this.#buffer = buffer;
    this.#mapped = mapped;
  }

  /** Zeroed memory; pages become resident when they are first written. */
  static allocate(bytes: number): HostMemory {
    const rounded = Math.max(PAGE_BYTES, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
    if (!pages) return new HostMemory(new ArrayBuffer(rounded), false);
    return new HostMemory(pages.map(rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1), true);
  }

  /** A file's content, private to this process and shared with others through the page cache. */
  static ofFile(path: string): HostMemory {
    if (!pages) {
      const bytes = readFileSync(path);
      return new HostMemory(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), false);
    }
    const file = openSync(path, 'r');
    try {
      return new HostMemory(pages.map(fstatSync(file).size, PROT_READ, MAP_PRIVATE, file), true);
    } finally {
      closeSync(file);
    }
  }

  get buffer(): ArrayBuffer {
    if (!this.#buffer) throw new Error('host memory: used after dispose');
    return this.#buffer;
  }

  /** The buffer, whose memory is from now on given back when nothing refers to the buffer any more. This object is then of no more use. */
  intoCollected(): ArrayBuffer {
    const { buffer } = this;
    this.#buffer = null;
    if (pages && this.#mapped) collected.register(buffer, pages.held(buffer));
    return buffer;
  }

  /** Makes the pages of a range resident by writing to each what is there. */
  touch(offset: number, bytes: number): void {
    const range = new Uint8Array(this.buffer, offset, bytes);
    for (let index = 0; index < bytes; index += PAGE_BYTES) range[index] = range[index] ?? 0;
    if (bytes > 0) range[bytes - 1] = range[bytes - 1] ?? 0;
  }

  /** Gives whole pages inside the range back to the system; they read as zeros (or as the file) afterwards. */
  discard(offset: number, bytes: number): void {
    const start = Math.ceil(offset / PAGE_BYTES) * PAGE_BYTES;
    const end = Math.floor((offset + bytes) / PAGE_BYTES) * PAGE_BYTES;
    if (end <= start) return;
    const range = new Uint8Array(this.buffer, start, end - start);
    if (pages && this.#mapped) pages.advise(range, MADV_DONTNEED);
    else range.fill(0);
  }

  dispose(): void {
    const buffer = this.#buffer;
    this.#buffer = null;
    if (buffer && pages && this.#mapped) pages.unmap(buffer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
