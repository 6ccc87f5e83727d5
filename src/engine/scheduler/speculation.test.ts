import { describe, expect, it } from 'vitest';
import { draftTokens, judgeDrafts, mayDraft, NEW_TRIAL } from './speculation.ts';

describe('drafts from the text so far', () => {
  it('are what followed the latest earlier place of the last tokens', () => {
    expect(draftTokens([1, 2, 3, 4, 9, 1, 2, 7, 8, 1, 2], 2)).toEqual([7, 8]);
  });

  it('prefer a longer match to a later one', () => {
    expect(draftTokens([5, 1, 2, 3, 3, 8, 1, 2, 4, 4, 5, 1, 2], 2)).toEqual([3, 3]);
  });

  it('are none where nothing repeats, nor for a single token, nor without room', () => {
    expect(draftTokens([1, 2, 3, 4], 4)).toEqual([]);
    expect(draftTokens([1, 7, 1], 4)).toEqual([]);
    expect(draftTokens([1, 2, 1, 2], 0)).toEqual([]);
  });
});

describe('a trial of drafts', () => {
  const refuse = (trial: typeof NEW_TRIAL) => judgeDrafts(trial, { proposed: 4, accepted: 0, producedCount: 10 });

  it('goes on while drafts agree', () => {
    const after = judgeDrafts(NEW_TRIAL, { proposed: 4, accepted: 4, producedCount: 10 });
    expect(mayDraft(after, 11)).toBe(true);
  });

  it('pauses after two bad drafts, and begins anew later', () => {
    expect(mayDraft(refuse(NEW_TRIAL), 11)).toBe(true);
    const paused = refuse(refuse(NEW_TRIAL));
    expect(mayDraft(paused, 11)).toBe(false);
    expect(mayDraft(paused, 60)).toBe(true);
    expect(paused.acceptance).toBe(NEW_TRIAL.acceptance);
  });
});
