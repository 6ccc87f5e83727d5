// How a worker thread is started from a file of ours, as source or built.
import { pathToFileURL } from 'node:url';

/** A script for `new Worker(script, { eval: true })`. In a thread the loader for TypeScript sources has to be registered anew; a built file needs none. */
export function threadScript(entry: string): string {
  const load = `import(${JSON.stringify(pathToFileURL(entry).href)})`;
  if (!entry.endsWith('.ts')) return load;
  return `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => (register(), ${load}))`;
}
