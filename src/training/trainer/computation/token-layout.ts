// Which tokens of a micro-batch are computed, and where each position of a row finds its own: beginnings that rows share are computed once.
import type { TrainingExample } from '../ports.ts';

export interface Place {
  readonly row: number;
  readonly position: number;
}

/** A further place of a token. */
export interface Copy extends Place {
  readonly token: number;
}

/** T tokens for the positions of R rows. */
export interface TokenLayout {
  /** By token, in the order in which rows first have them. */
  readonly tokenIds: readonly number[];
  /** The first row and position of each token. */
  readonly owners: readonly Place[];
  /** Token of each position, by row. Rows without a supervised token are left out. */
  readonly rows: readonly (readonly number[])[];
  readonly copies: readonly Copy[];
  /** Tokens from which a supervised one is predicted, and that one's id. No token is here twice. */
  readonly supervised: readonly { readonly token: number; readonly target: number }[];
}

/**
 * A row ends before its last supervised token: nothing that counts is computed from that one or from what follows it.
 * Rows share their first tokens, where asked and as far as none of them is to predict a supervised one.
 */
export function layOut(examples: readonly TrainingExample[], shares: boolean): TokenLayout {
  const tokenIds: number[] = [];
  const owners: Place[] = [];
  const rows: number[][] = [];
  const copies: Copy[] = [];
  const supervised: { readonly token: number; readonly target: number }[] = [];
  // Tokens by the token before them (-1 in front of a row) and their id.
  const known = new Map<string, number>();
  for (const example of examples) {
    const length = Math.max(0, example.supervised.lastIndexOf(1));
    const shared = shares ? example.supervised.indexOf(1, 1) - 1 : 0;
    const row: number[] = [];
    for (let position = 0; position < length; position++) {
      const id = example.tokenIds[position] ?? 0;
      const key = `${row.at(-1) ?? -1} ${id}`;
      const found = position < shared ? known.get(key) : undefined;
      const token = found ?? tokenIds.length;
      const place = { row: rows.length, position };
      if (found === undefined) {
        tokenIds.push(id);
        owners.push(place);
        if (position < shared) known.set(key, token);
      } else copies.push({ ...place, token });
      row.push(token);
      if (example.supervised[position + 1] === 1) supervised.push({ token, target: example.tokenIds[position + 1] ?? 0 });
    }
    if (length > 0) rows.push(row);
  }
  return { tokenIds, owners, rows, copies, supervised };
}
