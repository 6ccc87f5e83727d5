// The engine's own counters and gauges, read when Prometheus asks. Counters restart at 0 with the engine process, as Prometheus expects.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EngineStats } from '../../engine/index.ts';
import type { AppServices } from '../services.ts';

type Reading = (stats: EngineStats) => number;

const COUNTERS: readonly (readonly [name: string, help: string, read: Reading])[] = [
  ['lorikeet_engine_decode_calls_total', 'Decode calls of the model', (stats) => stats.decodeCalls],
  [
    'lorikeet_engine_decode_rows_total',
    'Rows over all decode calls; divided by the calls it is rows per decode call',
    (stats) => stats.decodeRows,
  ],
  ['lorikeet_engine_merged_calls_total', "Decode calls that a merged adapter's session ran", (stats) => stats.mergedCalls],
  ['lorikeet_engine_merged_rows_total', 'Rows over those calls', (stats) => stats.mergedRows],
  ['lorikeet_merge_promotions_total', 'Adapters that got a merged session', (stats) => stats.mergePromotions],
  ['lorikeet_merge_demotions_total', 'Adapters that lost their merged session', (stats) => stats.mergeDemotions],
  ['lorikeet_merge_failures_total', 'Adapters that could not be merged', (stats) => stats.mergeFailures],
  ['lorikeet_engine_prefill_calls_total', 'Prefill calls of the model', (stats) => stats.prefillCalls],
  ['lorikeet_engine_prefill_tokens_total', 'Prompt tokens that went through prefill calls', (stats) => stats.prefillTokens],
  ['lorikeet_engine_generated_tokens_total', 'Generated tokens', (stats) => stats.generatedTokens],
  ['lorikeet_engine_preemptions_total', 'Rows given up for want of KV memory', (stats) => stats.preemptions],
  ['lorikeet_prefix_cache_queried_tokens_total', 'Prompt tokens looked up in the prefix cache', (stats) => stats.prefixQueriedTokens],
  ['lorikeet_prefix_cache_hit_tokens_total', 'Prompt tokens found in the prefix cache', (stats) => stats.prefixHitTokens],
  ['vllm:prefix_cache_queries_total', 'Prompt tokens looked up in the prefix cache', (stats) => stats.prefixQueriedTokens],
  ['vllm:prefix_cache_hits_total', 'Prompt tokens found in the prefix cache', (stats) => stats.prefixHitTokens],
  ['lorikeet_speculation_draft_tokens_total', 'Tokens that speculation proposed', (stats) => stats.draftTokens],
  ['lorikeet_speculation_accepted_tokens_total', 'Proposed tokens that the model chose too', (stats) => stats.acceptedDraftTokens],
  ['lorikeet_adapter_hits_total', 'Requests whose adapter was in host memory', (stats) => stats.adapterHits],
  ['lorikeet_adapter_misses_total', 'Requests whose adapter was read from its file', (stats) => stats.adapterMisses],
];

const GAUGES: readonly (readonly [name: string, help: string, read: Reading])[] = [
  ['lorikeet_engine_running_requests', 'Requests with a row in the running batch', (stats) => stats.runningRequests],
  ['lorikeet_engine_waiting_requests', 'Requests that wait for a row', (stats) => stats.waitingRequests],
  ['vllm:num_requests_running', 'Requests with a row in the running batch', (stats) => stats.runningRequests],
  ['vllm:num_requests_waiting', 'Requests that wait for a row', (stats) => stats.waitingRequests],
  [
    'vllm:kv_cache_usage_perc',
    'Used share of the KV cache, 1 is full',
    (stats) => share(stats.kvPositionsReserved, stats.kvPositionsTotal),
  ],
  ['lorikeet_kv_positions_reserved', 'Reserved KV positions', (stats) => stats.kvPositionsReserved],
  ['lorikeet_kv_positions', 'KV positions in all', (stats) => stats.kvPositionsTotal],
  ['lorikeet_prefix_cache_bytes', 'Keys and values in the prefix cache', (stats) => stats.prefixCacheBytes],
  ['lorikeet_adapter_resident_bytes', 'Packed adapters in host memory', (stats) => stats.adapterBytes],
  ['lorikeet_adapter_resident', 'Number of packed adapters in host memory', (stats) => stats.adapters.length],
  [
    'lorikeet_engine_adapter_leases',
    'Requests that hold a packed adapter in the engine',
    (stats) => stats.adapters.reduce((sum, { leases }) => sum + leases, 0),
  ],
  ['lorikeet_merged_adapters', 'Adapters with a merged session', (stats) => stats.merged.filter(({ phase }) => phase === 'merged').length],
  ['lorikeet_merged_bytes', 'Merged weights in memory', (stats) => stats.merged.reduce((sum, { bytes }) => sum + bytes, 0)],
  ['lorikeet_engine_live_handles', 'Native objects alive in the engine process', (stats) => stats.liveHandles],
  ['lorikeet_engine_resident_bytes', 'Resident memory of the engine process', (stats) => stats.residentBytes],
];

export function registerEngineMetrics(registry: Registry, services: AppServices): void {
  const stats = (): EngineStats | null => services.engine.stats();
  for (const [name, help, read] of COUNTERS) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        const reading = stats();
        this.reset();
        if (reading !== null) this.inc(read(reading));
      },
    });
  }
  for (const [name, help, read] of GAUGES) {
    gauge(registry, name, help, () => {
      const reading = stats();
      return reading === null ? 0 : read(reading);
    });
  }
  gauge(registry, 'lorikeet_engine_ready', '1 while an engine process answers', () => (services.engine.isReady() ? 1 : 0));
  gauge(registry, 'lorikeet_adapter_leases', 'Adapter versions pinned by requests now', () => services.adapters.leaseCount());
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
