import { BACKOFF, backoffMs, sleep } from "./backoff.js";
import { asError, NetworkError, ProblemError, problemOf } from "./errors.js";
import type { Answer, Body, PathsWith } from "./schemas.js";

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, and the waits between its attempts. */
  signal?: AbortSignal;
}

/** Limits of asking again. */
export interface RetryLimits {
  /** Attempts at most, the first one included. */
  readonly attempts: number;
  /** Milliseconds that all waits of one call may take; a `Retry-After` beyond what is left is thrown at once. */
  readonly waitMs: number;
}

/** A rate window of the server is 10 s: within 20 s it is over, whoever waits longer wants to be asked. */
export const RETRY_LIMITS: RetryLimits = { attempts: 4, waitMs: 20_000 };

export interface HttpOptions {
  baseUrl: string;
  /** Of every call. */
  headers: Record<string, string>;
  fetch: typeof fetch;
  retry: RetryLimits;
  credentials?: RequestCredentials;
}

interface CallParts<B> extends CallOptions {
  path?: Record<string, string>;
  query?: Record<string, string | number | undefined>;
  body?: B;
  headers?: Record<string, string>;
  /** Whether doing it twice is the same as once. GET always is. */
  idempotent?: boolean;
}

/** Calls the API; asks again where that is harmless and the server, or the network, makes it worth while. */
export class Http {
  constructor(private readonly options: HttpOptions) {}

  get<P extends PathsWith<"get">>(path: P, parts: CallParts<undefined> = {}): Promise<Answer<"get", P>> {
    return this.call("GET", path, { ...parts, idempotent: true });
  }

  post<P extends PathsWith<"post">>(
    path: P,
    parts: CallParts<Body<"post", P>> = {},
  ): Promise<Answer<"post", P>> {
    return this.call("POST", path, parts);
  }

  /** The absolute address of a path of ours. */
  url(template: string, path: Record<string, string> = {}, query: CallParts<unknown>["query"] = {}): string {
    const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ""));
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return this.options.baseUrl + filled + (search && `?${search}`);
  }

  private async call<T>(method: string, template: string, parts: CallParts<unknown>): Promise<T> {
    const { attempts } = this.options.retry;
    let left = this.options.retry.waitMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return (await this.once(method, template, parts)) as T;
      } catch (error) {
        const again = parts.idempotent && attempt < attempts;
        const wait = again ? waitBefore(error, attempt) : undefined;
        if (wait === undefined || wait > left) throw error;
        left -= wait;
        await sleep(wait, parts.signal);
      }
    }
  }

  private async once(method: string, template: string, parts: CallParts<unknown>): Promise<unknown> {
    const headers: Record<string, string> = {
      Accept: "application/json",
      ...this.options.headers,
      ...parts.headers,
    };
    const init: RequestInit = { method, headers };
    if (parts.signal) init.signal = parts.signal;
    if (this.options.credentials) init.credentials = this.options.credentials;
    if (parts.body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(parts.body);
    }
    try {
      const response = await this.options.fetch(this.url(template, parts.path, parts.query), init);
      if (!response.ok) throw await problemOf(response);
      return await response.json();
    } catch (error) {
      if (error instanceof ProblemError || parts.signal?.aborted) throw error;
      throw new NetworkError(`${method} ${template} got no answer: ${asError(error).message}`, {
        cause: error,
      });
    }
  }
}

/** Milliseconds to wait before the next attempt; undefined when another one would be in vain. */
function waitBefore(error: unknown, failures: number): number | undefined {
  if (error instanceof NetworkError) return backoffMs(failures, BACKOFF, Math.random);
  if (!(error instanceof ProblemError)) return undefined;
  if (error.retryAfter !== undefined && error.temporary) return error.retryAfter * 1000;
  return error.status === 503 ? backoffMs(failures, BACKOFF, Math.random) : undefined;
}
