import type { Schemas } from "./schemas.js";

/** Root of everything this package throws on its own account. */
export class LeadfleetError extends Error {
  override readonly name: string = "LeadfleetError";
}

/** One thing wrong with the input; `loc` is the path to it, such as `["queries", 3]`. */
export type FieldProblem = NonNullable<Schemas["Problem"]["errors"]>[number];

/** The server answered, and not with what was asked for: `application/problem+json` (RFC 9457). */
export class ProblemError extends LeadfleetError {
  override readonly name = "ProblemError";

  constructor(
    /** HTTP status. */
    readonly status: number,
    readonly title: string,
    /** A sentence that says what was tried, what was found and what to do. */
    readonly detail: string,
    /** Seconds to wait before asking again, where the server said so. */
    readonly retryAfter: number | undefined,
    readonly errors: readonly FieldProblem[],
    /** Names the request in the server's log. */
    readonly requestId: string | undefined,
  ) {
    super(`${status} ${title}: ${detail}`);
  }

  /** Whether asking again can help without anything being changed. */
  get temporary(): boolean {
    return this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

/** No answer came: the name, the route or the server is not there, or the connection broke. */
export class NetworkError extends LeadfleetError {
  override readonly name = "NetworkError";
}

/** A stream ended, or fell silent. `code` is the WebSocket's close code. */
export class ConnectionLost extends LeadfleetError {
  override readonly name = "ConnectionLost";

  constructor(
    message: string,
    readonly code?: number,
  ) {
    super(message);
  }
}

/** Why the wheel of a task's browser is not ours: see `ControlEnd`. The message says what to do. */
export class ControlError extends LeadfleetError {
  override readonly name = "ControlError";

  constructor(
    message: string,
    readonly reason: "held" | "no_browser" | "limit" | "taken" | "lost",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The problem that an unsuccessful answer tells of, also when a proxy wrote it and it is no problem document. */
export async function problemOf(response: Response): Promise<ProblemError> {
  let told: Partial<Schemas["Problem"]> = {};
  try {
    const body: unknown = await response.json();
    if (typeof body === "object" && body !== null) told = body;
  } catch {
    // HTML of a proxy, or nothing: the status says what there is to say
  }
  return new ProblemError(
    response.status,
    told.title ?? (response.statusText || "Unexpected answer"),
    told.detail ?? `${new URL(response.url || "http://unknown/").pathname} answered ${response.status}`,
    retryAfterSeconds(response.headers.get("Retry-After"), Date.now()),
    told.errors ?? [],
    response.headers.get("X-Request-ID") ?? undefined,
  );
}

/** `Retry-After` in seconds: it is a number of them, or an HTTP date. */
export function retryAfterSeconds(header: string | null, now: number): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}

/** Whatever was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new LeadfleetError(String(thrown));
}
