// Prints the lines of each room and fails when a file or the whole grows past its limit. Counts what a reader has to scroll through.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/** A file above the first limit is named; above the second one it fails the check. */
const WATCHED_FILE_LINES = 300;
const LARGEST_FILE_LINES = 400;
/** Ceiling of production code. Raise it on purpose, in a commit that says why. */
const LARGEST_SOURCE_LINES = 45_000;

const ROOT = join(import.meta.dirname, '..');
const ROOTS = ['src', 'test'];
const SKIPPED = new Set(['fixtures', 'results']);
const CODE = /\.(ts|sh|cjs)$/;

interface SourceFile {
  readonly path: string;
  readonly group: string;
  readonly isTest: boolean;
  readonly lines: number;
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) yield* walk(path);
    else if (entry.isFile() && CODE.test(entry.name)) yield path;
  }
}

function measure(absolutePath: string): SourceFile {
  const path = relative(ROOT, absolutePath).split(sep).join('/');
  const [top = '', room = ''] = path.split('/');
  const lines = readFileSync(absolutePath, 'utf8').split('\n').length - 1;
  return { path, group: room.includes('.') ? top : `${top}/${room}`, isTest: top === 'test' || path.endsWith('.test.ts'), lines };
}

function sum(files: readonly SourceFile[]): number {
  return files.reduce((total, file) => total + file.lines, 0);
}

function printRooms(files: readonly SourceFile[]): void {
  const groups = [...new Set(files.map((file) => file.group))].toSorted();
  console.log(`${'room'.padEnd(22)}${'code'.padStart(8)}${'tests'.padStart(8)}${'largest'.padStart(9)}`);
  for (const group of groups) {
    const members = files.filter((file) => file.group === group);
    const largest = Math.max(...members.map((file) => file.lines));
    const code = sum(members.filter((file) => !file.isTest));
    const tests = sum(members.filter((file) => file.isTest));
    console.log(`${group.padEnd(22)}${String(code).padStart(8)}${String(tests).padStart(8)}${String(largest).padStart(9)}`);
  }
}

const files = ROOTS.flatMap((root) => [...walk(join(ROOT, root))].map(measure));
const sourceLines = sum(files.filter((file) => !file.isTest));
const problems = files
  .filter((file) => file.lines > LARGEST_FILE_LINES)
  .map((file) => `${file.path} has ${file.lines} lines, at most ${LARGEST_FILE_LINES} are allowed: split it by concept`);
if (sourceLines > LARGEST_SOURCE_LINES) problems.push(`src/ has ${sourceLines} lines of code, the ceiling is ${LARGEST_SOURCE_LINES}`);

printRooms(files);
for (const file of files.filter(({ lines }) => lines > WATCHED_FILE_LINES)) {
  console.log(`over ${WATCHED_FILE_LINES} lines: ${file.path} (${file.lines})`);
}
console.log(`${sourceLines} lines of code, ${sum(files) - sourceLines} of tests`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
