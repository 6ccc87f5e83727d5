// The shape of one finding of `lorikeet doctor`.

export interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do; absent when nothing needs doing. */
  readonly nextStep?: string;
}

export function ok(name: string, detail: string): Finding {
  return { name, state: 'ok', detail };
}

export function warn(name: string, detail: string, nextStep: string): Finding {
  return { name, state: 'warn', detail, nextStep };
}

export function fail(name: string, detail: string, nextStep: string): Finding {
  return { name, state: 'fail', detail, nextStep };
}
