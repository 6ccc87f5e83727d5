// Flags, environment and lorikeet.config.json → one frozen Settings, with the source of each value. Reads no globals: all comes by argument.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, describeError } from '../core/index.ts';
import {
  environmentName,
  flagName,
  isSettingKey,
  SETTING_KEYS,
  SETTING_ROWS,
  SHARED_ENVIRONMENT_NAMES,
  type SettingKey,
  type Settings,
} from './settings.ts';
import type { ValueKind } from './value-kinds.ts';

const CONFIG_FILE_NAME = 'lorikeet.config.json';

/** Where a value came from, as shown by `--print-settings`. */
export type SettingSource = 'default' | 'flag' | 'environment' | 'file' | 'shared-environment';

export interface LoadedSettings {
  readonly settings: Settings;
  readonly sources: Readonly<Record<SettingKey, SettingSource>>;
}

export interface SettingInputs {
  /** Values of given flags by setting key (`dataDir`, not `data-dir`); absent or undefined means not given. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder in which lorikeet.config.json is looked for. */
  readonly folder: string;
}

/** Environment names with our prefix that are not settings. */
const OTHER_ENVIRONMENT = new Set(['LORIKEET_API_KEY', 'LORIKEET_URL']);

interface Candidate {
  readonly raw: unknown;
  readonly source: SettingSource;
  /** How the person wrote the key, for messages. */
  readonly spelling: string;
}

/** @throws AppError `usage` that names the key, the value and what is allowed, for an unknown key or a bad value. */
export function loadSettings(inputs: SettingInputs): LoadedSettings {
  const file = readConfigFile(join(inputs.folder, CONFIG_FILE_NAME));
  refuseUnknown(Object.keys(inputs.flags), 'flag');
  refuseUnknown(Object.keys(file), CONFIG_FILE_NAME);
  refuseUnknownEnvironment(inputs.environment);
  const values: Partial<Record<SettingKey, unknown>> = {};
  const sources: Partial<Record<SettingKey, SettingSource>> = {};
  for (const key of SETTING_KEYS) {
    const candidate = firstGiven(key, inputs, file);
    values[key] = candidate === null ? SETTING_ROWS[key].standard : readValue(key, candidate);
    sources[key] = candidate?.source ?? 'default';
  }
  // The loop above fills every key of the table, which the types of a loop cannot express.
  return { settings: Object.freeze(values as Settings), sources: Object.freeze(sources as Record<SettingKey, SettingSource>) };
}

function firstGiven(key: SettingKey, inputs: SettingInputs, file: Readonly<Record<string, unknown>>): Candidate | null {
  const environmentKey = environmentName(key);
  const sharedKey = SHARED_ENVIRONMENT_NAMES[key];
  const candidates: Candidate[] = [
    { raw: inputs.flags[key], source: 'flag', spelling: `--${flagName(key)}` },
    { raw: inputs.environment[environmentKey], source: 'environment', spelling: environmentKey },
    { raw: file[key], source: 'file', spelling: `${key} in ${CONFIG_FILE_NAME}` },
  ];
  if (sharedKey !== undefined)
    candidates.push({ raw: inputs.environment[sharedKey] || undefined, source: 'shared-environment', spelling: sharedKey });
  return candidates.find((candidate) => candidate.raw !== undefined) ?? null;
}

function readValue(key: SettingKey, candidate: Candidate): unknown {
  const kind: ValueKind<unknown> = SETTING_ROWS[key].kind;
  const value = kind.read(candidate.raw);
  if (value === undefined) {
    throw new AppError('usage', `${candidate.spelling}: got ${shown(candidate.raw)}, expected ${kind.rule}`, { param: key });
  }
  return value;
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let written: string;
  try {
    written = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new AppError('usage', `${CONFIG_FILE_NAME} cannot be read: ${describeError(error)}`, { cause: error });
  }
  let content: unknown;
  try {
    content = JSON.parse(written);
  } catch (error) {
    throw new AppError('usage', `${CONFIG_FILE_NAME} is not valid JSON: ${describeError(error)}`, { cause: error });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new AppError('usage', `${CONFIG_FILE_NAME}: got ${shown(content)}, expected one JSON object with setting keys`);
  }
  return { ...content };
}

function refuseUnknown(keys: readonly string[], where: string): void {
  const unknown = keys.find((key) => !isSettingKey(key));
  if (unknown !== undefined) {
    throw new AppError('usage', `unknown setting "${unknown}" (${where}); known settings: ${SETTING_KEYS.join(', ')}`, { param: unknown });
  }
}

function refuseUnknownEnvironment(environment: SettingInputs['environment']): void {
  const known = new Set(SETTING_KEYS.map((key) => environmentName(key)));
  const unknown = Object.keys(environment).find((name) => name.startsWith('LORIKEET_') && !known.has(name) && !OTHER_ENVIRONMENT.has(name));
  if (unknown !== undefined) {
    throw new AppError('usage', `unknown environment variable ${unknown}; known: ${[...known].join(', ')}`, { param: unknown });
  }
}

function shown(raw: unknown): string {
  const written = JSON.stringify(raw) ?? String(raw);
  return written.length > 100 ? `${written.slice(0, 100)}…` : written;
}
