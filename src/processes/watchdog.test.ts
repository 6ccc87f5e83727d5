import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Watchdog } from './watchdog.ts';

const OPTIONS = { pingIntervalMs: 10, silenceMs: 100, startupMs: 1000 };

describe('a watchdog', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('lets a starting child block for long, but not for ever', () => {
    const kill = vi.fn<(reason: string) => void>();
    new Watchdog(OPTIONS, () => undefined, kill);
    vi.advanceTimersByTime(999);
    expect(kill).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(kill).toHaveBeenCalledExactlyOnceWith('was not ready after 1000 ms');
  });

  it('is not fooled by a child that talks but never becomes ready', () => {
    const kill = vi.fn<(reason: string) => void>();
    const watchdog = new Watchdog(OPTIONS, () => undefined, kill);
    for (let elapsed = 0; elapsed < 1000; elapsed += 50) {
      watchdog.alive();
      vi.advanceTimersByTime(50);
    }
    expect(kill).toHaveBeenCalledOnce();
  });

  it('kills a ready child that falls silent, and pings it meanwhile', () => {
    const kill = vi.fn<(reason: string) => void>();
    const ping = vi.fn<() => void>();
    const watchdog = new Watchdog(OPTIONS, ping, kill);
    watchdog.ready();
    vi.advanceTimersByTime(90);
    watchdog.alive();
    vi.advanceTimersByTime(99);
    expect(kill).not.toHaveBeenCalled();
    expect(ping).toHaveBeenCalledTimes(18);
    vi.advanceTimersByTime(1);
    expect(kill).toHaveBeenCalledExactlyOnceWith('was silent for 100 ms');
  });

  it('does nothing after its end', () => {
    const kill = vi.fn<(reason: string) => void>();
    const ping = vi.fn<() => void>();
    const watchdog = new Watchdog(OPTIONS, ping, kill);
    watchdog.ready();
    watchdog.stop();
    vi.advanceTimersByTime(10_000);
    expect(kill).not.toHaveBeenCalled();
    expect(ping).not.toHaveBeenCalled();
  });
});
