/** How long to wait between attempts. */
export interface Backoff {
  /** Upper bound of the first delay, in milliseconds; doubles with each failure. */
  readonly baseMs: number;
  /** Upper bound of every delay. */
  readonly capMs: number;
}

/** Half a second is a blip; nobody wants to look at "retrying" for more than half a minute. */
export const BACKOFF: Backoff = { baseMs: 500, capMs: 30_000 };

/**
 * Exponential backoff with full jitter: anything from 0 to the bound of this attempt, evenly, so that clients which
 * failed together do not come back together.
 *
 * @param failures attempts that failed in a row, from 1
 */
export function backoffMs(failures: number, { baseMs, capMs }: Backoff, random: () => number): number {
  return random() * Math.min(capMs, baseMs * 2 ** (failures - 1));
}

/** Wait, unless `signal` ends it: then it throws the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
