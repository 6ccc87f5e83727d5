// Reads Prometheus text format: sums of the samples of each name. Labels are not kept.

export interface MetricReading {
  /** Sum over all label sets. Fails for a name that the server does not export, so that a renamed metric cannot pass as 0. */
  value(name: string): number;
}

export function parsePrometheus(text: string): MetricReading {
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)/.exec(line) ?? [];
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return {
    value(name) {
      const sum = sums.get(name);
      if (sum === undefined) throw new Error(`/metrics has no ${name}`);
      return sum;
    },
  };
}
