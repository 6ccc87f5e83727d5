export { createInsights, type AdapterInsights } from './insight/insights.ts';
export { meanByModule, type AdapterComparison, type DirectionSide, type SiteSimilarity } from './insight/compare.ts';
export { heatMap } from './insight/heat-map.ts';
export type { AdapterInsight, SiteInsight } from './insight/inspect.ts';
export { openAdapterRegistry, type AdapterRegistryParts } from './registry.ts';
export { publishSamples } from './samples.ts';
export type { BlobKeeper, HeldBlob } from './blob-keeper.ts';
export type * from './port.ts';
