export { createApp } from './app.ts';
export type { AppServices, HttpSettings, ServedBase } from './services.ts';
