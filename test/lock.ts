// Keeps package-lock.json complete: npm drops the entries of other platforms' optional packages when the registry at hand lacks them, and
// `npm ci` then refuses the file. `--fix` adds what is missing; such entries have a version and platform but no integrity hash.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

interface Lock {
  packages: Record<string, LockEntry>;
}

interface MissingPackage {
  readonly name: string;
  readonly version: string;
  readonly dev: boolean;
}

const PATH = join(import.meta.dirname, '..', 'package-lock.json');
const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
const SYSTEMS: Readonly<Record<string, string>> = { mac: 'darwin', win: 'win32' };
const C_LIBRARIES: Readonly<Record<string, string>> = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

/** Optional packages that some locked package asks for, by an exact version, and that no folder above it has an entry for. */
function findMissing(lock: Lock): MissingPackage[] {
  return Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {}, dev = false }]) =>
    Object.entries(optionalDependencies)
      .filter(([name, version]) => EXACT_VERSION.test(version) && !isLocked(lock, path, name))
      .map(([name, version]) => ({ name, version, dev })),
  );
}

function isLocked(lock: Lock, path: string, name: string): boolean {
  if (Object.hasOwn(lock.packages, join(path, 'node_modules', name))) return true;
  const above = path.lastIndexOf('node_modules');
  return above >= 0 && isLocked(lock, path.slice(0, Math.max(0, above - 1)), name);
}

/** Names end in `<system>-<processor>[-<C library>]`, for example `@oxfmt/binding-linux-arm-musleabihf`. */
function platformOf(name: string): Readonly<Record<string, readonly string[]>> {
  const words = name
    .slice(name.indexOf('/') + 1)
    .replace(/^binding-/, '')
    .split('-');
  const [system = '', processor = '', library = ''] = words;
  const libc = C_LIBRARIES[library];
  return { os: [SYSTEMS[system] ?? system], cpu: [processor], ...(libc !== undefined && { libc: [libc] }) };
}

const lock = JSON.parse(readFileSync(PATH, 'utf8')) as Lock;
const missing = findMissing(lock);
if (missing.length === 0) {
  console.log('package-lock.json is complete');
} else if (process.argv.includes('--fix')) {
  for (const { name, version, dev } of missing) {
    lock.packages[`node_modules/${name}`] = { version, ...(dev && { dev }), optional: true, ...platformOf(name) };
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: added ${missing.length} optional packages of other platforms`);
} else {
  console.error(
    `package-lock.json lacks ${missing.length} optional packages (${missing[0]?.name} …): npm ci will fail; run "npm run lock"`,
  );
  process.exitCode = 1;
}
