// How hostile text appears in messages: quoted, escaped and cut.

const SHOWN_CHARACTERS = 80;

/** JSON spelling of a string, cut to 80 characters, so that control characters and endless names cannot reach a log. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`);
}
