import { type Backoff, backoffMs } from "./backoff.js";
import { asError, ConnectionLost, NetworkError, ProblemError } from "./errors.js";
import { rest, type Wakes } from "./wakes.js";

export type Transport = "websocket" | "sse";

/** How a stream is doing. */
export type ConnectionState =
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "open"; readonly transport: Transport }
  /** The connection is gone; the next attempt, number `attempt`, is made after `delayMs` or when the page wakes. */
  | { readonly name: "retrying"; readonly attempt: number; readonly delayMs: number; readonly reason: Error }
  /** Open, and the server no longer has some events behind `after`; ends with the next event. */
  | { readonly name: "gap"; readonly after: string }
  /** For good: it was closed or aborted, the task has ended, or `error` says why nothing else can be done. */
  | { readonly name: "closed"; readonly error?: Error };

/** What a dialler tells while its connection runs. */
export interface Line {
  /** The server has greeted us. */
  opened(transport: Transport): void;
  /** The server says when to come back once this connection is lost. */
  comeBackAfter(ms: number): void;
}

export interface KeepOptions {
  backoff: Backoff;
  wakes: Wakes;
  signal: AbortSignal;
  onState(state: ConnectionState): void;
  random?: () => number;
}

/**
 * Dial again and again until `signal` ends it or an error says that it is in vain, which is returned.
 *
 * The first delay after a connection that worked is the server's, which spreads its clients; all others are
 * exponential with full jitter. A `Retry-After` is waited for in any case.
 */
export async function keepConnected(
  dial: (line: Line) => Promise<void>,
  { backoff, wakes, signal, onState, random = Math.random }: KeepOptions,
): Promise<Error | undefined> {
  let failures = 0;
  while (!signal.aborted) {
    onState({ name: "connecting", attempt: failures + 1 });
    let opened = false;
    let retryMs: number | undefined;
    let reason: Error = new ConnectionLost("the server ended the stream");
    try {
      await dial({
        opened(transport) {
          opened = true;
          onState({ name: "open", transport });
        },
        comeBackAfter(ms) {
          retryMs = ms;
        },
      });
    } catch (error) {
      reason = asError(error);
      if (!signal.aborted && !worthRetrying(reason)) return reason;
    }
    if (signal.aborted) break;
    failures = opened ? 1 : failures + 1;
    const own = opened && retryMs !== undefined ? retryMs : backoffMs(failures, backoff, random);
    const least = reason instanceof ProblemError ? (reason.retryAfter ?? 0) * 1000 : 0;
    const delayMs = wakes.offline() ? backoff.capMs : Math.max(own, least);
    onState({ name: "retrying", attempt: failures + 1, delayMs, reason });
    if (least > 0) await rest(least, DEAF, signal);
    await rest(Math.max(0, delayMs - least), wakes, signal);
  }
  return undefined;
}

/** A server that says `Retry-After` is not asked sooner because somebody looks at the page. */
const DEAF: Wakes = { listen: () => () => {}, offline: () => false };

/** A stream outlives what happens to networks and servers, and nothing else: not a wrong key, nor a bug. */
function worthRetrying(error: Error): boolean {
  if (error instanceof ProblemError) return error.temporary;
  return error instanceof ConnectionLost || error instanceof NetworkError;
}
