// Sizes as people write them: "512MiB", "2GB", "1048576". Knows units, nothing of settings.

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const SIZE = /^(\d{1,16}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})$/;

export const BYTE_SIZE_RULE = 'a number of bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB';

/** Bytes of a written size, or undefined when it is none (or not a whole number of bytes). */
export function parseByteSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  const unit = UNIT_BYTES[(match?.[2] ?? '').toLowerCase()];
  if (match === null || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact spelling with a binary unit, for example 536870912 → "512MiB". */
export function formatByteSize(bytes: number): string {
  const units = ['TiB', 'GiB', 'MiB', 'KiB'] as const;
  const unit = units.find((name) => bytes > 0 && bytes % (UNIT_BYTES[name.toLowerCase()] ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (UNIT_BYTES[unit.toLowerCase()] ?? 1)}${unit}`;
}
