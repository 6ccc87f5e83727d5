// Training rows, read alike by the front, which refuses bad ones before anything is queued, and by the trainer, which trains on them.
export { type ChatTurn, type Row, type RowProblem } from './row.ts';
export { parseRow } from './parse-row.ts';
export { type RowLine, rowLines } from './row-lines.ts';
export { type RowText, rowTextOf, tokeniseRow } from './tokenise-row.ts';
