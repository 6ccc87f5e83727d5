// Typed reading of single fields of adapter_config.json. Each takes null and absence for PEFT's default.
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../json/strict-json.ts';
import { invalidField } from './refusal.ts';

/** Python's `not value`. */
export function isFalsy(value: JsonValue): boolean {
  if (isJsonArray(value)) return value.length === 0;
  if (isJsonObject(value)) return value.size === 0;
  return value === null || value === false || value === 0 || value === '';
}

export function booleanField(config: JsonObject, key: string): boolean {
  const value = config.get(key) ?? false;
  if (typeof value !== 'boolean') throw invalidField(key, value, 'true or false');
  return value;
}

export function stringField(config: JsonObject, key: string): string | null {
  const value = config.get(key) ?? null;
  if (value !== null && typeof value !== 'string') throw invalidField(key, value, 'a string or null');
  return value;
}

export function rankField(config: JsonObject, key: string, fallback: number): number {
  const value = config.has(key) ? (config.get(key) ?? null) : fallback;
  return requireRank(key, value);
}

export function requireRank(key: string, value: JsonValue): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw invalidField(key, value, 'an integer above 0');
  return value;
}

export function numberField(config: JsonObject, key: string, fallback: number): number {
  const value = config.has(key) ? (config.get(key) ?? null) : fallback;
  return requireNumber(key, value);
}

export function requireNumber(key: string, value: JsonValue): number {
  if (typeof value !== 'number') throw invalidField(key, value, 'a number');
  return value;
}

/** One string, or a list of strings. */
export function stringOrListField(config: JsonObject, key: string): string | readonly string[] | null {
  const value = config.get(key) ?? null;
  if (value === null || typeof value === 'string') return value;
  if (isJsonArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw invalidField(key, value, 'a string, a list of strings or null');
}

/** A list of strings. */
export function listField(config: JsonObject, key: string): readonly string[] {
  const value = stringOrListField(config, key) ?? [];
  if (typeof value === 'string') throw invalidField(key, value, 'a list of strings or null');
  return value;
}

/** Token ids by the name of their module; the name `` is the input embedding, which PEFT looks up itself. */
export type TokenRows = ReadonlyMap<string, readonly number[]>;

/** One list of token ids, or one for each of some modules; an empty list means none was given, as in PEFT. */
export function tokenRowsField(config: JsonObject, key: string): TokenRows | null {
  const value = config.get(key) ?? null;
  if (isFalsy(value)) return null;
  const lists: readonly (readonly [string, JsonValue])[] = isJsonObject(value) ? [...value] : [['', value]];
  return new Map(
    lists.map(([module, list]) => {
      const isTokenId = (item: JsonValue): item is number => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0;
      if (isJsonArray(list) && list.length > 0 && list.every((item) => isTokenId(item)) && new Set(list).size === list.length) {
        return [module, list];
      }
      throw invalidField(key, value, 'different token ids in a list, or such a list for each of some modules');
    }),
  );
}

/** One layer index or a list of them; an empty list means none was given, as in PEFT. */
export function layerIndexesField(config: JsonObject, key: string): readonly number[] | null {
  const value = config.get(key) ?? null;
  if (value === null) return null;
  const indexes = isJsonArray(value) ? value : [value];
  const isIndex = (item: JsonValue): item is number => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0;
  if (!indexes.every((item) => isIndex(item))) throw invalidField(key, value, 'a layer index or a list of them');
  return indexes.length === 0 ? null : indexes;
}
