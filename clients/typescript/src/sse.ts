import { asError, ConnectionLost, NetworkError, ProblemError, problemOf } from "./errors.js";
import { Heartbeat, type HeartbeatTimes } from "./heartbeat.js";
import type { Wakes } from "./wakes.js";

/** One thing that a stream says: a message, or after how many milliseconds to come back. */
export type SseItem = { readonly data: string } | { readonly retryMs: number };

/** Server-Sent Events out of text that arrives in any pieces (HTML Living Standard, 9.2.6). Ids stand in our messages. */
export class SseParser {
  private rest = "";
  private data: string[] = [];

  feed(text: string): SseItem[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.line(line));
  }

  private line(line: string): SseItem[] {
    if (line === "") {
      const data = this.data.join("\n");
      const told = this.data.length > 0;
      this.data = [];
      return told ? [{ data }] : [];
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.data.push(value);
    if (name === "retry" && /^\d+$/.test(value)) return [{ retryMs: Number(value) }];
    return [];
  }
}

export interface SseOptions {
  fetch: typeof fetch;
  url: string;
  credentials?: RequestCredentials;
  heartbeat: HeartbeatTimes;
  wakes: Wakes;
  signal: AbortSignal;
  onOpen(): void;
  onItem(item: SseItem): void;
}

/**
 * Run one stream of Server-Sent Events until it ends. Read with `fetch`, because `EventSource` neither tells why it
 * was refused nor shows that it fell silent, and Node has none. Returns when `signal` ends it; throws `ProblemError` when
 * the server refuses, `ConnectionLost` or `NetworkError` when the line does, and whatever a callback throws.
 */
export async function runEventStream(options: SseOptions): Promise<void> {
  const line = new AbortController();
  const abort = () => line.abort();
  options.signal.addEventListener("abort", abort);
  let silence: ConnectionLost | undefined;
  const heartbeat = new Heartbeat(options.heartbeat, (why) => {
    silence = new ConnectionLost(why);
    line.abort();
  });
  const unlisten = options.wakes.listen(() => heartbeat.wake());
  try {
    if (options.signal.aborted) return;
    const chunks = await open(options, line.signal);
    heartbeat.heard();
    options.onOpen();
    const parser = new SseParser();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await fetched(chunks.read());
      if (done) throw new ConnectionLost("the server ended the stream");
      heartbeat.heard();
      for (const item of parser.feed(decoder.decode(value, { stream: true }))) {
        if (options.signal.aborted) return;
        options.onItem(item);
      }
    }
  } catch (error) {
    if (options.signal.aborted) return;
    throw silence ?? error;
  } finally {
    heartbeat.stop();
    unlisten();
    options.signal.removeEventListener("abort", abort);
    line.abort();
  }
}

async function open(
  options: SseOptions,
  signal: AbortSignal,
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const init: RequestInit = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal };
  if (options.credentials) init.credentials = options.credentials;
  const response = await fetched(options.fetch(options.url, init));
  if (!response.ok) throw await problemOf(response);
  const type = response.headers.get("Content-Type") ?? "nothing";
  if (!type.startsWith("text/event-stream") || !response.body)
    throw new ConnectionLost(`something between us and the server answered with ${type} instead of events`);
  return response.body.getReader();
}

async function fetched<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new NetworkError(`the event stream broke: ${asError(error).message}`, { cause: error });
  }
}
