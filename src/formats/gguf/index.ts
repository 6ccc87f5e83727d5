// The part of this folder that other rooms use.
export { openGguf } from './file.ts';
