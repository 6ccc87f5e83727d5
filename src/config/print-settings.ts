// The table behind `lorikeet serve --print-settings`: every setting, its value as one would write it, and where it came from.
import type { LoadedSettings, SettingSource } from './load-settings.ts';
import { environmentName, flagName, SETTING_KEYS, SETTING_ROWS, SHARED_ENVIRONMENT_NAMES, type SettingKey } from './settings.ts';
import type { ValueKind } from './value-kinds.ts';

export interface PrintedSetting {
  readonly key: SettingKey;
  readonly value: string;
  readonly source: string;
}

export function printedSettings(loaded: LoadedSettings): readonly PrintedSetting[] {
  return SETTING_KEYS.map((key) => {
    const kind: Pick<ValueKind<never>, 'write'> = SETTING_ROWS[key].kind;
    // Key and kind come from one row, so the value is of the kind's type; the loop over keys hides that from the checker.
    const value = kind.write(loaded.settings[key] as never);
    return { key, value, source: sourceText(key, loaded.sources[key]) };
  });
}

/** Aligned columns, one setting a line, without a final newline. */
export function formatSettings(loaded: LoadedSettings): string {
  const rows = printedSettings(loaded);
  const keyWidth = Math.max(...rows.map((row) => row.key.length));
  const valueWidth = Math.max(...rows.map((row) => row.value.length));
  return rows.map((row) => `${row.key.padEnd(keyWidth)}  ${row.value.padEnd(valueWidth)}  ${row.source}`).join('\n');
}

function sourceText(key: SettingKey, source: SettingSource): string {
  switch (source) {
    case 'flag':
      return `flag --${flagName(key)}`;
    case 'environment':
      return `environment ${environmentName(key)}`;
    case 'file':
      return 'lorikeet.config.json';
    case 'shared-environment':
      return `environment ${SHARED_ENVIRONMENT_NAMES[key]}`;
    case 'default':
      return 'default';
  }
}
