// A measured value with its bound, as a line of a report.

export interface Check {
  readonly name: string;
  readonly value: string;
  readonly bound: string;
  readonly holds: boolean;
}

/** Cells of the table with the columns of `CHECK_HEADER`. */
export function checkRow({ name, value, bound, holds }: Check): readonly string[] {
  return [name, value, bound, holds ? 'yes' : 'NO'];
}

export const CHECK_HEADER = ['measure', 'value', 'bound', 'within'] as const;
