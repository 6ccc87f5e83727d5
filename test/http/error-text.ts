// What an error's body says, whichever surface wrote it.

export function errorText(body: unknown): string {
  const { error, detail } = body as { readonly error?: string | { readonly message: string }; readonly detail?: string };
  return detail ?? (typeof error === 'object' ? error.message : (error ?? ''));
}
