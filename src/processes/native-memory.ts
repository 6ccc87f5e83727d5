// Memory that native code allocates in large blocks, in pages of 2 MiB where glibc and the kernel have them (transparent huge pages set to madvise).

/**
 * Environment for a child that serves a model: fewer misses of the page table while it reads weights. One arena, because a session that another thread
 * makes would have its weights in an arena of that thread, which gets few such pages.
 */
export function hugePages({ GLIBC_TUNABLES: given }: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string>> {
  return {
    GLIBC_TUNABLES: [...(given === undefined || given === '' ? [] : [given]), 'glibc.malloc.hugetlb=1', 'glibc.malloc.arena_max=1'].join(
      ':',
    ),
  };
}
