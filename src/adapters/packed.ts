// The room's one public side door: the packed layout and what follows from it alone. Pure, for the engine's process too.
export { mergedTensors, type MergeSite } from './merged-tensors.ts';
export {
  decodePacked,
  encodePacked,
  PACKED_ALIGNMENT,
  type PackedAdapter,
  type PackedArray,
  packedArray,
  type PackedFullContent,
  type PackedFullPart,
  type PackedHeader,
  type PackedSite,
  type PackedSiteContent,
} from './packed-file.ts';
