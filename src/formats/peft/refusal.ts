// The two ways in which this folder refuses an adapter. Every message names where, what came and what was expected.
import { AppError } from '../../core/index.ts';
import { shownJson } from '../json/shown-json.ts';
import type { JsonValue } from '../json/strict-json.ts';

export const CONFIG_FILE = 'adapter_config.json';

/** Malformed: no PEFT would take it. */
export function invalidAdapter(message: string, param?: string): AppError {
  return new AppError('invalid_adapter', message, param === undefined ? {} : { param });
}

/** Well-formed, but this server cannot apply it as PEFT would. */
export function unsupportedAdapter(message: string, param?: string): AppError {
  return new AppError('unsupported_adapter', message, param === undefined ? {} : { param });
}

/** A field of adapter_config.json whose value is not of its type or range. */
export function invalidField(key: string, value: JsonValue, expected: string): AppError {
  return invalidAdapter(`${CONFIG_FILE}: ${shownJson(key)} is ${shownJson(value)}; expected ${expected}`, key);
}

/** A field of adapter_config.json that asks for something which is not supported for LoRA adapters. */
export function unsupportedField(key: string, value: JsonValue, why: string): AppError {
  return unsupportedAdapter(`${CONFIG_FILE}: ${shownJson(key)} = ${shownJson(value)} is not supported for kind "LORA": ${why}`, key);
}
