// Runs something that may throw and hands back either, so that a property can judge both without branching assertions.

export type Outcome<Value> =
  | { readonly value: Value; readonly error?: undefined }
  | { readonly value?: undefined; readonly error: unknown };

export function outcomeOf<Value>(run: () => Value): Outcome<Value> {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}
