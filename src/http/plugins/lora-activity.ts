// Which adapters have running and waiting requests, as the gauge `vllm:lora_requests_info` that LoRA-aware routers read.
import { Gauge, type Registry } from 'prom-client';
import { DEFAULT_TENANT } from '../../core/index.ts';
import type { PinnedAdapter } from '../generation/pin.ts';
import type { AppServices } from '../services.ts';

type Phase = 'running' | 'waiting';

export class LoraActivity {
  readonly #counts: Readonly<Record<Phase, Map<string, number>>> = { running: new Map(), waiting: new Map() };
  readonly #services: AppServices;
  #changedAtMs: number;

  constructor(registry: Registry, services: AppServices) {
    this.#services = services;
    this.#changedAtMs = services.clock.now();
    const set = (gauge: Gauge): void => {
      gauge.reset();
      gauge.set(this.#labels(), this.#changedAtMs / 1000);
    };
    new Gauge({
      name: 'vllm:lora_requests_info',
      help: 'Adapters of running and waiting requests; the value is the time of the last change, in seconds since the epoch',
      labelNames: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
      registers: [registry],
      collect() {
        set(this);
      },
    });
  }

  /** A mix counts for each of its parts. */
  change(adapter: PinnedAdapter | null, phase: Phase, by: 1 | -1): void {
    if (adapter === null) return;
    const counts = this.#counts[phase];
    for (const { tenant, name: own } of adapter.versions) {
      const name = tenant === DEFAULT_TENANT ? own : `${tenant}/${own}`;
      const count = (counts.get(name) ?? 0) + by;
      if (count > 0) counts.set(name, count);
      else counts.delete(name);
    }
    this.#changedAtMs = this.#services.clock.now();
  }

  #labels(): Record<string, string> {
    return {
      max_lora: String(this.#services.settings.maxBatch),
      running_lora_adapters: [...this.#counts.running.keys()].join(','),
      waiting_lora_adapters: [...this.#counts.waiting.keys()].join(','),
    };
  }
}
