// Kullback-Leibler divergence of next-token distributions, from their logits. Pure.

/** Mean over lines of KL(P‖Q) = Σ p (log p − log q), in nats; both are [lines, vocabularySize]. */
export function meanDivergence(p: Float32Array, q: Float32Array, vocabularySize: number): number {
  const lineCount = p.length / vocabularySize;
  let sum = 0;
  for (let line = 0; line < lineCount; line++) {
    const range = [line * vocabularySize, (line + 1) * vocabularySize] as const;
    sum += divergence(p.subarray(...range), q.subarray(...range));
  }
  return sum / lineCount;
}

function divergence(p: Float32Array, q: Float32Array): number {
  const [pScale, qScale] = [logPartition(p), logPartition(q)];
  let sum = 0;
  for (let index = 0; index < p.length; index++) {
    const logP = (p[index] ?? 0) - pScale;
    sum += Math.exp(logP) * (logP - ((q[index] ?? 0) - qScale));
  }
  return sum;
}

function logPartition(logits: Float32Array): number {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}
