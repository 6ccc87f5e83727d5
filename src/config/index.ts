export { formatByteSize } from './byte-size.ts';
export { loadSettings, type LoadedSettings, type SettingInputs, type SettingSource } from './load-settings.ts';
export { formatSettings, printedSettings, type PrintedSetting } from './print-settings.ts';
export { settingInfos, type SettingInfo, type SettingKey, type Settings } from './settings.ts';
