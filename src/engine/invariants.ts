// What must hold between any two calls of the engine. Pure checks over a snapshot; tests run them after every action.
import type { EngineSnapshot, SequenceSnapshot } from './snapshot.ts';

/** Every violated invariant as a sentence; empty when all hold. */
export function violations(snapshot: EngineSnapshot): readonly string[] {
  const ofRows = snapshot.running.flatMap((sequence) => [...rowBounds(snapshot, sequence)]);
  return [...membership(snapshot), ...kvPositions(snapshot), ...leases(snapshot), ...merges(snapshot), ...ofRows];
}

function* membership({ waiting, running, liveCount, maxBatch }: EngineSnapshot): Iterable<string> {
  if (running.length > maxBatch) yield `${running.length} requests run, at most ${maxBatch} may`;
  if (waiting.length + running.length !== liveCount)
    yield `${waiting.length} waiting and ${running.length} running requests are not ${liveCount} live ones`;
  if (waiting.some(({ row, phase }) => row !== null || phase === 'running')) yield 'a waiting request has a row';
  if (running.some(({ row, phase }) => row === null || phase !== 'running')) yield 'a running request has no row';
}

function* kvPositions({ kvByRow, kvReserved, kvTotal, running }: EngineSnapshot): Iterable<string> {
  const sum = [...kvByRow.values()].reduce((total, positions) => total + positions, 0);
  if (sum !== kvReserved) yield `rows hold ${sum} KV positions, ${kvReserved} are reserved`;
  if (kvReserved > kvTotal) yield `${kvReserved} KV positions are reserved of ${kvTotal}`;
  if (kvByRow.size !== running.length) yield `${kvByRow.size} rows hold KV positions, ${running.length} requests run`;
  for (const { row } of running) {
    if (row !== null && kvByRow.get(row.id) !== row.capacity)
      yield `row ${row.id} has capacity ${row.capacity}, the ledger says ${kvByRow.get(row.id)}`;
  }
}

function* leases({ leasesByDigest, waiting, running, adapterBytes, adapterBudgetBytes }: EngineSnapshot): Iterable<string> {
  const holders = new Map<string, number>();
  for (const { heldDigest, adapterDigest, phase, id } of [...waiting, ...running]) {
    if (heldDigest !== null) holders.set(heldDigest, (holders.get(heldDigest) ?? 0) + 1);
    const shouldHold = adapterDigest !== null && (phase === 'ready' || phase === 'running');
    if (heldDigest !== (shouldHold ? adapterDigest : null))
      yield `request ${id} is ${phase} and holds ${heldDigest}, its adapter is ${adapterDigest}`;
  }
  const anyLeased = [...leasesByDigest.values()].some((count) => count > 0);
  if (!anyLeased && adapterBytes > adapterBudgetBytes)
    yield `${adapterBytes} bytes of idle adapters, at most ${adapterBudgetBytes} may stay`;
  for (const [digest, count] of leasesByDigest) {
    // A cancelled request's load may hold a lease until its promise has settled, so only too few is wrong here.
    if (count < (holders.get(digest) ?? 0)) yield `${holders.get(digest)} requests hold adapter ${digest}, ${count} leases are counted`;
  }
}

function* merges({ mergedDigests, mergedMax, running }: EngineSnapshot): Iterable<string> {
  if (mergedDigests.size > mergedMax) yield `${mergedDigests.size} adapters are merged, at most ${mergedMax} may be`;
  for (const { id, row, adapterDigest, isMergedOnly } of running) {
    const merged = row?.merged ?? null;
    if (merged !== null && merged !== adapterDigest)
      yield `request ${id} is computed by merged adapter ${merged}, its own is ${adapterDigest}`;
    if (merged !== null && !mergedDigests.has(merged)) yield `request ${id} is computed by adapter ${merged}, which is not merged`;
    if (merged === null && isMergedOnly) yield `request ${id} is computed beside the base, its adapter has no side path`;
  }
}

function* rowBounds(
  { maxContext, buckets }: EngineSnapshot,
  { id, row, tokenCount, promptLength, maxNewTokens }: SequenceSnapshot,
): Iterable<string> {
  if (row === null) return;
  if (!buckets.includes(row.capacity)) yield `request ${id} has capacity ${row.capacity}, which is no bucket`;
  if (row.cachedPositions > row.capacity) yield `request ${id} caches ${row.cachedPositions} positions in a capacity of ${row.capacity}`;
  if (row.cachedPositions > maxContext) yield `request ${id} caches ${row.cachedPositions} positions in a context of ${maxContext}`;
  const decoding = row.cachedPositions >= row.prefillTarget;
  if (decoding && tokenCount !== row.cachedPositions + 1)
    yield `request ${id} decodes with ${tokenCount} tokens and ${row.cachedPositions} cached`;
  if (tokenCount - promptLength > Math.max(0, maxNewTokens))
    yield `request ${id} produced ${tokenCount - promptLength} tokens of ${maxNewTokens}`;
}
