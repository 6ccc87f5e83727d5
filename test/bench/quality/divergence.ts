// Kullback-Leibler divergence between two next-token distributions, from their logits.

export interface Divergence {
  /** In nats. */
  readonly meanKl: number;
  readonly largestKl: number;
  /** Share of positions where both have the same most likely token, 0 to 1. */
  readonly sameTopShare: number;
}

/** KL(P‖Q) = Σ p (log p − log q) in nats, with float64 sums; both arrays are [vocabulary]. */
export function compareLogits(p: Float32Array, q: Float32Array): { readonly kl: number; readonly sameTop: boolean } {
  const pScale = logPartition(p);
  const qScale = logPartition(q);
  let kl = 0;
  for (let index = 0; index < p.length; index++) {
    const logP = (p[index] ?? 0) - pScale.logSum;
    kl += Math.exp(logP) * (logP - ((q[index] ?? 0) - qScale.logSum));
  }
  return { kl, sameTop: pScale.top === qScale.top };
}

function logPartition(logits: Float32Array): { readonly logSum: number; readonly top: number } {
  let top = 0;
  for (let index = 1; index < logits.length; index++) if ((logits[index] ?? 0) > (logits[top] ?? 0)) top = index;
  const largest = logits[top] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return { logSum: largest + Math.log(sum), top };
}
