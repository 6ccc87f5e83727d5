// Keys of rank_pattern and alpha_pattern, matched as literal suffixes of module paths. PEFT compiles them as regular expressions
// (utils/other.py, get_pattern_key); expressions of uploaders are never compiled here, so a key that needs one is refused.
import { isJsonObject, type JsonObject, type JsonValue } from '../json/strict-json.ts';
import { quoted } from '../quoted.ts';
import { CONFIG_FILE, invalidField, unsupportedAdapter, unsupportedField } from './refusal.ts';

/** Pattern key → value, in file order: the first key that matches wins. */
export type ModulePattern = ReadonlyMap<string, number>;

const LITERAL_KEY = /^[A-Za-z0-9_.-]+$/;

export function patternField(config: JsonObject, field: string, parseValue: (key: string, value: JsonValue) => number): ModulePattern {
  const value = config.get(field) ?? null;
  const pattern = new Map<string, number>();
  if (value === null) return pattern;
  if (!isJsonObject(value)) throw invalidField(field, value, 'an object of module names and numbers');
  for (const [key, number] of value) {
    if (!LITERAL_KEY.test(key)) {
      throw unsupportedField(field, key, 'the key needs a regular expression; expected a module name or the end of a module path');
    }
    pattern.set(key, parseValue(`${field}.${key}`, number));
  }
  return pattern;
}

/**
 * Value of the first key that is `module` or a suffix of it after a dot.
 * @throws AppError unsupported_adapter when PEFT would match a key only because its dot stands for any character.
 */
export function matchPattern(pattern: ModulePattern, field: string, module: string): number | undefined {
  for (const [key, value] of pattern) {
    const start = module.length - key.length;
    if (start < 0 || (start > 0 && module[start - 1] !== '.')) continue;
    const end = module.slice(start);
    if (end === key) return value;
    if (dotsMatch(key, end)) {
      throw unsupportedAdapter(
        `${CONFIG_FILE}: ${field} key ${quoted(key)} matches module ${quoted(module)} only as a regular expression, which is not supported`,
        field,
      );
    }
  }
  return undefined;
}

/** Both have the same length. */
function dotsMatch(key: string, text: string): boolean {
  for (let index = 0; index < key.length; index += 1) {
    if (key[index] !== '.' && key[index] !== text[index]) return false;
  }
  return true;
}
